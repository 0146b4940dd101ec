"""`lethe queue …`: the runs that wait, without the web: moved to a worker, cancelled."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from worker.cli.store import note
from worker.cli.workers import who
from worker.contract.progress import FINAL_STATES
from worker.contract.settings import settings
from worker.engine.client import Engine

app = typer.Typer(help="The runs of this server that wait or are computed.", no_args_is_help=True)
RunId = Annotated[str, typer.Argument(help="The run's id, as `lethe queue list` says it.")]


@app.command("list")
def show() -> None:
    """List what waits in the order of its turns, and why what nobody takes is not taken."""
    with _opened() as engine:
        for run in engine.store.queue():
            whose = f" of {run.owner}" if run.owner else ""
            moved = f", for {run.moved_to}" if run.moved_to else ""
            why = f"  ({run.hindrance})" if run.hindrance else ""
            typer.echo(f"{run.id}  {run.state}{whose}{moved}  {run.title}{why}")


@app.command()
def move(
    run: RunId,
    worker: Annotated[
        str, typer.Argument(help="The worker that takes it; left out, any that can.")
    ] = "",
) -> None:
    """Leave a run that waits to one worker while that one lives and can, or to any."""
    with _opened() as engine:
        engine.move(run, worker, who())
        note(engine.store, "moved a run", f"run {run} to {worker or 'any worker'}")
    typer.echo(f"run {run} waits for {worker or 'any worker that can'}")


@app.command()
def cancel(run: RunId) -> None:
    """Cancel anybody's run, whether it waits or is computed."""
    with _opened() as engine:
        before = engine.store.run(run)
        if before.state in FINAL_STATES:
            typer.echo(f"run {run} is {before.state} already; it stays as it is")
            return
        engine.cancel(run)
        note(engine.store, "cancelled a run", f"run {run}")
        after = engine.store.run(run)
    if after.state in FINAL_STATES:
        typer.echo(f"run {run} is {after.state}")
    else:
        typer.echo(f"run {run} is asked to stop, and does at its next report")


@contextmanager
def _opened() -> Iterator[Engine]:
    engine = Engine.open(settings())
    try:
        yield engine
    finally:
        engine.close()

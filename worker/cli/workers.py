"""`lethe worker`: starts one; and what admins tell those that there are, without the web."""

import getpass
from typing import Annotated

import typer

from worker.cli.store import note, opened
from worker.contract.records import Halted, WorkerRecord

app = typer.Typer(help="Starts a worker; pauses, drains and resumes those that there are.")
Worker = Annotated[str, typer.Argument(help="The worker's id, as `lethe worker list` says it.")]


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="The worker's id; by default host:device.")] = "",
    exit_when_idle: Annotated[
        str, typer.Option(help="End after so long without anything to do, for example 10m.")
    ] = "",
    max_time: Annotated[
        str,
        typer.Option(
            help="End before this much time has passed, for example 3h50m: no new run is taken in "
            "the last tenth (at most 10 minutes), and one that is not done is handed back."
        ),
    ] = "",
) -> None:
    """Start one worker: a supervisor of LETHE_DEVICE and its compute processes."""
    if context.invoked_subcommand is not None:
        return
    from worker.engine.supervisor import main as supervise

    given = {"--name": name, "--exit-when-idle": exit_when_idle, "--max-time": max_time}
    supervise([part for pair in given.items() if pair[1] for part in pair])


@app.command("list")
def show() -> None:
    """List the workers with what each computes, and who paused it."""
    with opened() as store:
        for worker in store.workers():
            typer.echo(f"{worker.id}  {_state(worker)}  {worker.run or 'computes nothing'}")


@app.command()
def pause(worker: Worker) -> None:
    """Let a worker take no new run; the one that it computes goes on."""
    _halt(worker, "paused")
    typer.echo(f"{worker} takes no new run until it is resumed; what it computes goes on")


@app.command()
def drain(worker: Worker) -> None:
    """Let a worker take no new run, and end when the one that it computes is done."""
    _halt(worker, "drained")
    typer.echo(f"{worker} ends when its run is done; started again, it is paused until resumed")


@app.command()
def resume(worker: Worker) -> None:
    """Let a worker take runs again."""
    with opened() as store:
        store.resume(worker)
        note(store, "resumed a worker", f"worker {worker}")
    typer.echo(f"{worker} takes runs")


def who() -> str:
    """Who gives orders here, as pages say it."""
    return f"{getpass.getuser()} on the command line"


def _halt(worker: str, what: Halted) -> None:
    with opened() as store:
        store.halt(worker, what, who())
        note(store, f"{what} a worker", f"worker {worker}")


def _state(worker: WorkerRecord) -> str:
    state = ("ready" if worker.ready else "starting") if worker.alive else "not alive"
    if worker.halt is None:
        return state
    return (
        f"{state}, {worker.halt.what} by {worker.halt.by} since {worker.halt.at:%Y-%m-%d %H:%M} UTC"
    )

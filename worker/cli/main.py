"""`lethe …`: serve, run, export, study, menu, doctor; others lie beside.

What needs torch is imported by the command that does, so that the others start at once.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from worker.cli import backups, cleaning, looking, serving
from worker.cli import bundles as bundle_commands
from worker.cli import lessons as lesson_commands
from worker.cli import models as model_commands
from worker.cli import people as people_commands
from worker.cli import projects as project_commands
from worker.cli import queue as queue_commands
from worker.cli import workers as worker_commands
from worker.cli.specs import read_spec
from worker.contract.bundle import read_bundle
from worker.contract.errors import LetheError, UserError
from worker.contract.repetition import compare, differences
from worker.contract.settings import Settings, hidden, refuse_weak, settings

app = typer.Typer(
    help="Shows where a language model keeps a fact, takes it out, and proves whether it is gone.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


app.add_typer(worker_commands.app, name="worker")
app.add_typer(queue_commands.app, name="queue")
app.add_typer(model_commands.app, name="model")
app.add_typer(lesson_commands.app, name="lesson")
app.add_typer(people_commands.app, name="user")
app.add_typer(project_commands.app, name="project")
app.command()(bundle_commands.bundle)
app.command()(looking.explore)
app.command()(backups.backup)
app.command()(backups.restore)
app.command()(cleaning.clean)


def main() -> None:
    """Run the command line; what the user got wrong is one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        for field, sentence in error.problems:
            typer.echo(f"lethe: {field}: {sentence}" if field else f"lethe: {sentence}", err=True)
        sys.exit(2)
    except LetheError as error:
        typer.echo(f"lethe: {error}", err=True)
        sys.exit(1)


@app.command()
def serve(
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            help="People sign in with accounts of their own; `lethe user add` makes the first.",
        ),
    ] = False,
    is_open: Annotated[
        bool,
        typer.Option(
            "--open",
            help="As --shared, and who has no account reads the gallery, takes lessons and "
            "explores LETHE_OPEN_MODELS, and leaves nothing behind.",
        ),
    ] = False,
    root_path: Annotated[
        str,
        typer.Option(help="Path under which a reverse proxy has the server, for example /lethe."),
    ] = "",
) -> None:
    """Start the web server and one worker on this machine; Ctrl+C stops both.

    One that ends is started again. When that fails too often, both are stopped, and the exit code
    is above 0.
    """
    if shared or is_open:  # the processes that are started read it there
        os.environ["LETHE_SHARED"] = "1"
    if is_open:
        os.environ["LETHE_OPEN"] = "1"
    if root_path:
        os.environ["LETHE_ROOT_PATH"] = root_path
    refuse_weak(settings())  # a wrong one is said once, before anything starts
    raise typer.Exit(serving.serve())


@app.command()
def run(
    spec: Annotated[
        Path, typer.Argument(help="A spec as JSON, the same as the API's, or a run's bundle (zip).")
    ],
    out: Annotated[Path, typer.Option(help="Folder for result.json, arrays and delta.")],
    edits: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folders of earlier `lethe run`s whose edits lie on the model, in order."
        ),
    ] = None,
    facts: Annotated[
        Path | None, typer.Option(help="A file with the fact set that the spec names.")
    ] = None,
    edit_to: Annotated[
        str, typer.Option(help="One answer that all forget facts are edited to, for example golf.")
    ] = "",
    processes: Annotated[
        int, typer.Option(min=1, help="For a study: processes that compute its runs.")
    ] = 1,
) -> None:
    """Compute a spec in this process, without a server, and write its result to a folder."""
    from worker.cli.local import prepare
    from worker.cli.local_study import run_study
    from worker.contract.progress import Event, Quiet
    from worker.contract.spec import StudySpec
    from worker.run import open_models
    from worker.run import run as compute

    recorded = None
    if spec.suffix == ".zip":
        parsed, inputs, recorded = read_bundle(spec, out / "inputs", out)
    else:
        data = read_spec(spec)
        if edit_to and isinstance(data, dict):
            data["facts"] = {**data.get("facts", {}), "edit_to": edit_to}
        parsed, inputs = prepare(data, out, edits or [], facts)

    def tell(event: Event) -> None:
        if event.type == "progress":
            typer.echo(f"{100 * (event.fraction or 0):3.0f} % {event.message}", err=True)

    models = open_models(settings())
    if isinstance(parsed, StudySpec):
        result = run_study(parsed, inputs, Quiet(tell), models, facts, processes)
    else:
        result = compute(parsed, inputs, Quiet(tell), models)
    typer.echo(result.caption or "done")
    typer.echo(f"{out / 'result.json'} ({result.seconds:.1f} s)")
    if recorded is not None:
        differing = differences(recorded, result)
        for line in differing:
            typer.echo(line)
        n_compared = len(compare(recorded, result))
        typer.echo(f"{n_compared} recorded numbers compared, {len(differing)} differ")
        raise typer.Exit(1 if differing else 0)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="The folder of an unlearn run.")],
    out: Annotated[Path, typer.Option(help="A new folder for the Hugging Face model.")],
    results: Annotated[
        list[Path] | None, typer.Option(help="Folders of evaluations to put on the model card.")
    ] = None,
) -> None:
    """Save an edited model as a Hugging Face folder with a card of what was edited."""
    from worker.cli.local import delta_paths, read_result
    from worker.core.export import export_folder
    from worker.run import open_models

    edit = read_result(folder)
    model = open_models(settings()).get(edit.provenance.model)
    known = [edit, *(read_result(path) for path in results or [])]
    digest = export_folder(model, delta_paths(folder), out, known)
    typer.echo(f"{out}: weights {digest[:16]}")


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="A built-in study.")] = "paper_comparison",
    model: Annotated[str, typer.Option(help="Another model than the study's own.")] = "",
    facts: Annotated[str, typer.Option(help="Another fact set than the study's own.")] = "",
) -> None:
    """Print a built-in study's spec: save it, change it, and give it to `lethe run`."""
    from worker.engine.study.built_in import built_in_study

    spec = built_in_study(name, model, facts)
    typer.echo(spec.model_dump_json(indent=1, exclude_none=True))


@app.command()
def menu(
    as_json: Annotated[
        bool, typer.Option("--json", help="The whole announcement as JSON.")
    ] = False,
) -> None:
    """List the models, fact sets and methods that this machine has, with their options."""
    from worker.run import announce

    found = announce(settings())
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    typer.echo(
        "models: "
        + ", ".join(m.id + (f" ({m.problem})" if m.problem else "") for m in found.models)
    )
    typer.echo("fact sets: " + ", ".join(f"{s.name} ({s.n_facts})" for s in found.fact_sets))
    for method in found.methods:
        typer.echo(f"\n{method.kind} {method.name}: {method.summary}")
        for name, option in method.options.get("properties", {}).items():
            default = json.dumps(option.get("default"))
            typer.echo(f"  {name} = {default}  {option.get('description', '')}")


@app.command()
def doctor() -> None:
    """Say what this machine can do, what is missing and the cure; describe every setting."""
    from worker.cli.doctor import examine

    findings = examine(settings())
    for finding in findings:
        typer.echo(f"{'ok ' if finding.ok else 'NO '} {finding.what}")
        if finding.cure:
            typer.echo(f"     {finding.cure}")
    typer.echo("\nSettings:")
    for name, field in Settings.model_fields.items():
        variable = f"LETHE_{name.upper()}"
        value = getattr(settings(), name)
        value = "set" if isinstance(value, SecretStr) else value
        shown = ":".join(map(str, value)) if isinstance(value, tuple) else value
        shown = hidden(shown) if isinstance(shown, str) else shown
        typer.echo(f"  {variable} = {'' if shown is None else shown}\n     {field.description}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


if __name__ == "__main__":
    main()

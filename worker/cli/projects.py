"""`lethe project …`: a shared server's projects and their members, without the web."""

from functools import partial
from typing import Annotated

import typer

from worker.cli.limits import Daily, Running, Storage, Waiting, given_limits, set_given
from worker.cli.store import note, opened
from worker.contract.limits import Limits, limits_words, used_words
from worker.contract.projects import Project

app = typer.Typer(
    help="The projects of a shared server (`lethe serve --shared`).", no_args_is_help=True
)
Id = Annotated[str, typer.Argument(help="The project's id, as `lethe project list` says it.")]
Person = Annotated[str, typer.Argument(help="The person's name.")]
CHANGED = "changed a project's members"


@app.command("list")
def show() -> None:
    """List every project with its members and their roles."""
    with opened() as store:
        for project in store.projects():
            state = "archived" if project.archived else "in use"
            typer.echo(f"{project.id}  {project.title}  {state}  {_members(project)}")


@app.command()
def make(
    title: Annotated[str, typer.Argument(help="What people call it.")],
    owner: Annotated[str, typer.Option(help="The person who owns it.")],
) -> None:
    """Make a project of a person's."""
    with opened() as store:
        project = store.make_project(title, owner)
        note(store, "made a project", f"project {project.id} ({project.title}) of {owner}")
    typer.echo(f"{project.id}  {project.title}  {_members(project)}")


@app.command()
def add(
    id: Id,
    person: Person,
    role: Annotated[str, typer.Option(help="viewer, member or owner.")] = "member",
) -> None:
    """Take a person in, or give a member another role."""
    with opened() as store:
        project = store.set_member(id, person, role)
        note(store, CHANGED, f"project {id} ({project.title}): {person} as {role}")
    typer.echo(f"{project.title}: {_members(project)}")


@app.command()
def remove(id: Id, person: Person) -> None:
    """Let a member go; what they made stays theirs, and the project sees it on."""
    with opened() as store:
        store.remove_member(id, person)
        project = store.project(id)
        note(store, CHANGED, f"project {id} ({project.title}): {person} out")
    typer.echo(f"{project.title}: {_members(project)}")


@app.command()
def rename(id: Id, title: Annotated[str, typer.Argument(help="The new title.")]) -> None:
    """Give a project another title."""
    with opened() as store:
        project = store.change_project(id, title=title)
        note(store, "changed a project", f"project {id} ({project.title})")
    typer.echo(f"{id} is {project.title}")


@app.command()
def archive(
    id: Id, undo: Annotated[bool, typer.Option("--undo", help="Take it out again.")] = False
) -> None:
    """Put a project into the archive: it takes in nothing new, and is seen on."""
    with opened() as store:
        project = store.change_project(id, archived=not undo)
        state = "in use" if undo else "archived"
        note(store, "changed a project", f"project {id} ({project.title}): {state}")
    typer.echo(f"{project.title} is {state}")


@app.command()
def limit(
    id: Annotated[
        str, typer.Argument(help="The project's id; left out, every project's without its own.")
    ] = "",
    waiting: Waiting = None,
    running: Running = None,
    daily: Daily = None,
    storage: Storage = None,
) -> None:
    """Show what projects may take and take now, or set it; '' lets a limit go."""
    given = given_limits(waiting=waiting, running=running, daily=daily, storage=storage)
    with opened() as store:
        whose = f"project {id} ({store.project(id).title})" if id else "every project"
        held = store.project_limits().get(id)
        set_given(store, given, held, partial(store.set_project_limits, id), whose)
        typer.echo(f"every project: {limits_words(store.project_limits().get('', Limits()))}")
        for one in [store.project(id)] if id else store.projects():
            holds, used = store.limits_of("", one.id), store.used("", one.id)
            typer.echo(f"{one.id}  {one.title}: {limits_words(holds)}; now {used_words(used)}")


def _members(project: Project) -> str:
    return ", ".join(f"{one.person} ({one.role})" for one in project.members)

"""`lethe user …`: a shared server's people, without the web; the first admin comes from here."""

import getpass
import sys
from functools import partial
from typing import Annotated

import typer

from worker.cli.limits import Daily, Running, Storage, Waiting, given_limits, set_given
from worker.cli.store import note, opened
from worker.contract.errors import UserError
from worker.contract.limits import Limits, limits_words, used_words
from worker.contract.people import person_name, role_of
from worker.contract.settings import settings

app = typer.Typer(
    help="The people of a shared server (`lethe serve --shared`).", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="The person's name.")]
Piped = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from the standard input's line."),
]
DAY = 24 * 3600.0


@app.command("list")
def show() -> None:
    """List everybody with role and state."""
    with opened() as store:
        for person in store.people():
            state = "disabled" if person.disabled else "active"
            typer.echo(f"{person.name}  {person.role}  {state}  since {person.created:%Y-%m-%d}")


@app.command()
def add(
    name: Name,
    role: Annotated[str, typer.Option(help="viewer, member or admin.")] = "member",
    piped: Piped = False,
) -> None:
    """Make an account; the password is asked for."""
    chosen, name = role_of(role), person_name(name)
    with opened() as store:
        person = store.add_person(name, _password(piped), chosen)
        note(store, "added a person", f"{person.name} as {person.role}")
    typer.echo(f"{person.name} may sign in as {person.role}")


@app.command()
def role(name: Name, role: Annotated[str, typer.Argument(help="viewer, member or admin.")]) -> None:
    """Give a person another role."""
    with opened() as store:
        person = store.set_role(name, role_of(role))
        note(store, "changed a person's role", f"{person.name} to {person.role}")
    typer.echo(f"{person.name} is {person.role}")


@app.command()
def disable(
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="Let the person in again.")] = False,
) -> None:
    """Shut a person out: sessions end, tokens are refused, what they made stays."""
    with opened() as store:
        person = store.set_disabled(name, not undo)
        note(store, "let a person in again" if undo else "shut a person out", person.name)
    typer.echo(f"{person.name} {'may sign in again' if undo else 'is shut out'}")


@app.command()
def reset(name: Name, piped: Piped = False) -> None:
    """Give a person a new password, which is asked for, and end their sessions."""
    with opened() as store:
        person = store.person(name)
        store.set_password(person.name, _password(piped))
        note(store, "reset a password", person.name)
    typer.echo(f"{person.name} has a new password and is signed out everywhere")


@app.command()
def limit(
    name: Annotated[
        str, typer.Argument(help="The person's name; left out, everybody's but admins'.")
    ] = "",
    waiting: Waiting = None,
    running: Running = None,
    daily: Daily = None,
    storage: Storage = None,
) -> None:
    """Show what people may take and take now, or set it; '' lets a limit go."""
    given = given_limits(waiting=waiting, running=running, daily=daily, storage=storage)
    with opened() as store:
        held = store.limits().get(name)
        set_given(store, given, held, partial(store.set_limits, name), name or "everybody")
        typer.echo(f"everybody but admins: {limits_words(store.limits().get('', Limits()))}")
        for person in [store.person(name)] if name else store.people():
            holds, used = store.limits_of(person.name), store.used(person.name)
            typer.echo(f"{person.name}: {limits_words(holds)}; now {used_words(used)}")


@app.command()
def invite(
    role: Annotated[str, typer.Option(help="viewer, member or admin.")] = "member",
    days: Annotated[float, typer.Option(min=0.01, max=365, help="How long it holds.")] = 7,
) -> None:
    """Print a link with which one person makes their own account."""
    chosen = role_of(role)
    with opened() as store:
        secret = store.invite(chosen, days * DAY, "")
        note(store, "made an invitation", f"for a {chosen}")
    typer.echo(f"{settings().home}/invitation/{secret}")


def _password(piped: bool) -> str:
    if piped:
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("The same again: "):
        raise UserError("The two passwords differ; nothing was changed.")
    return first

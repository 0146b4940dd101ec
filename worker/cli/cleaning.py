"""`lethe clean`: old runs to the archive, old archived ones away, and files that nothing names."""

import getpass
from typing import Annotated

import typer

from worker.contract.duration import seconds_of
from worker.contract.errors import UserError
from worker.contract.private import keep_private
from worker.contract.settings import settings
from worker.store.trouble import said

SHOWN = 10
"""Ids and sentences that are printed of each kind."""


def clean(
    archive: Annotated[
        str, typer.Option(help="Archive runs that ended so long ago, as 90d.", metavar="TIME")
    ] = "",
    delete: Annotated[
        str,
        typer.Option(
            help="Delete archived runs that ended so long ago, with their files.", metavar="TIME"
        ),
    ] = "",
    files: Annotated[
        bool, typer.Option("--files", help="Delete files that no run, text or upload names.")
    ] = False,
    do: Annotated[
        bool, typer.Option("--do", help="Do it. Without this it is only said what would be done.")
    ] = False,
) -> None:
    """Let go of what is old: runs to the archive, archived runs, files that nothing names.

    Starred runs stay, and runs of which others were made or a mask was taken as long as those
    stay. The server may go on meanwhile; `lethe backup` before it keeps what goes.
    """
    from worker.store.cleaning import Retention, carry_out, plan
    from worker.store.store import Store

    wanted = Retention(
        archive_after=seconds_of(archive, "--archive") if archive else None,
        delete_after=seconds_of(delete, "--delete") if delete else None,
        files=files,
    )
    if wanted == Retention():
        raise UserError(
            "There is nothing to be cleaned. Say what: --archive 90d, --delete 365d, --files."
        )
    keep_private()
    with said():
        store = Store.open(settings())
        try:
            found = plan(store, wanted)
            _tell("runs to be archived", found.archive)
            _tell("archived runs to be deleted", found.delete)
            _tell("old archived runs that stay, since what stays names them", found.needed)
            _tell("files to be deleted, which nothing names", found.files)
            typer.echo(f"{found.bytes / 1e6:.3g} MB of files")
            if not do:
                typer.echo("Nothing was changed; --do does it.")
                return
            refused = carry_out(store, found, lambda words: typer.echo(f"{words} …", err=True))
            counts = f"{len(found.archive)} archived, {len(found.delete)} deleted"
            about = f"{counts}, {len(found.files)} files"
            store.note("", "cleaned", about, f"command line of {getpass.getuser()}")
        finally:
            store.close()
    typer.echo(f"Done but for {len(refused)}:" if refused else "Done.")
    for sentence in refused[:SHOWN]:
        typer.echo(f"  {sentence}")
    if refused:
        raise typer.Exit(1)


def _tell(what: str, ids: tuple[str, ...]) -> None:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    typer.echo(f"{len(ids)} {what}" + (f": {', '.join(ids[:SHOWN])}{more}" if ids else ""))

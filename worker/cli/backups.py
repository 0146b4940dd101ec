"""`lethe backup` and `lethe restore`: a server's database, artifacts and models in one folder."""

from pathlib import Path
from typing import Annotated

import typer

from worker.contract.private import keep_private
from worker.contract.settings import settings
from worker.store.backup.manifest import Manifest
from worker.store.trouble import said

Folder = Annotated[Path, typer.Argument(help="The backup's folder.")]


def backup(
    folder: Folder,
    models: Annotated[
        bool, typer.Option(help="With the models that were added under LETHE_DATA.")
    ] = True,
) -> None:
    """Copy database, artifacts and added models to a folder, while the server goes on.

    The next backup to the same folder copies only what is new. Everything is checked by its hash;
    one that is interrupted leaves the backup before it.
    """
    from worker.store.backup.write import back_up

    keep_private()
    with said():
        written = back_up(settings(), folder, models=models, tell=_tell)
    typer.echo(f"{folder}: {_words(written.manifest)}")
    typer.echo(f"{written.n_new} of these were copied now, {written.new_bytes / 1e6:.3g} MB")


def restore(
    folder: Folder,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there already.")
    ] = False,
    only_check: Annotated[
        bool, typer.Option("--check", help="Only read the backup and check every hash.")
    ] = False,
) -> None:
    """Put a backup back where the settings point; a damaged one is refused before anything is.

    Stop the web server and its workers first.
    """
    from worker.store.backup import restore as way_back

    keep_private()
    with said():
        if only_check:
            typer.echo(f"{folder} is whole: {_words(way_back.check(folder))}")
            return
        manifest = way_back.restore(settings(), folder, overwrite=overwrite, tell=_tell)
    typer.echo(f"restored: {_words(manifest)}")


def _words(manifest: Manifest) -> str:
    return (
        f"{manifest.database} database of {manifest.dump.size / 1e6:.3g} MB (tables of revision "
        f"{manifest.revision}), {len(manifest.artifacts)} artifacts and "
        f"{len(manifest.files) + len(manifest.links)} files as of "
        f"{manifest.created:%Y-%m-%d %H:%M:%S} UTC, every hash checked"
    )


def _tell(words: str) -> None:
    typer.echo(f"{words} …", err=True)

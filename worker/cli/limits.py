"""`lethe user limit` and `lethe project limit`: one set of options, read and set in one way."""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from worker.cli.store import note
from worker.contract.limits import Limits, limits_words, read_limits
from worker.store.store import Store

Waiting = Annotated[str | None, typer.Option(help="Runs that may wait at once.", metavar="N")]
Running = Annotated[str | None, typer.Option(help="Runs that are computed at once.", metavar="N")]
Daily = Annotated[
    str | None, typer.Option(help="Time of computing in a day, as 4h.", metavar="TIME")
]
Storage = Annotated[
    str | None, typer.Option(help="Size of their runs' files, as 20GB.", metavar="SIZE")
]


def given_limits(**options: str | None) -> dict[str, str]:
    """The limits that a command line sets; '' lets one go."""
    return {name: value for name, value in options.items() if value is not None}


def set_given(
    store: Store,
    given: Mapping[str, str],
    held: Limits | None,
    write: Callable[[Limits], None],
    whose: str,
) -> None:
    """Set what a command line gives beside what is held already; nothing given changes nothing."""
    if not given:
        return
    read = read_limits(given, held or Limits())
    write(read)
    note(store, "set limits", f"{whose}: {limits_words(read)}")

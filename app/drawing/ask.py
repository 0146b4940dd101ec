"""Reads the parameters of a figure's address."""

from collections.abc import Mapping, Sequence

from worker.contract.base import unknown
from worker.contract.errors import NotFound


def choose(ask: Mapping[str, str], name: str, known: Sequence[str]) -> str:
    """The asked value of a parameter, by default the first known; UserError for an unknown one."""
    if not known:
        raise NotFound(f"This result has nothing to draw by {name}.", field=name)
    value = ask.get(name, "") or known[0]
    if value not in known:
        raise unknown(name, value, list(known), field=name)
    return value


def is_on(ask: Mapping[str, str], name: str) -> bool:
    """Whether a toggle is on."""
    return ask.get(name, "") in ("1", "on", "true")

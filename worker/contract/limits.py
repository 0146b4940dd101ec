"""What a person or a project may take of a shared server, and what they take now."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal

from pydantic import Field

from worker.contract.base import Contract
from worker.contract.duration import seconds_of
from worker.contract.errors import UserError

_SIZES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class Limits(Contract):
    """Of one person or project; None: without a limit. Admins have none but those that name them,
    and those of the projects into which they submit."""

    waiting: int | None = Field(None, ge=0, le=10**6)
    """Runs and studies that wait at once; what a study asks for is not counted."""
    running: int | None = Field(None, ge=1, le=10**6)
    """Runs that are computed at once; what is beyond waits its turn."""
    device_seconds: float | None = Field(None, ge=0, le=86400.0 * 1000)
    """Seconds of computing in a day, which begins at midnight UTC."""
    storage: int | None = Field(None, ge=0, le=10**18)
    """Bytes of the files of their runs."""

    def over(self, more: "Limits") -> "Limits":
        """These where they say something, else those of `more`."""
        return more.model_copy(update=self.model_dump(exclude_none=True))

    def within(self, most: "Limits") -> "Limits":
        """The narrower of these and those of `most`, each for itself."""
        both = {
            name: [one for one in (getattr(self, name), getattr(most, name)) if one is not None]
            for name in Limits.model_fields
        }
        return Limits(**{name: min(given) if given else None for name, given in both.items()})


class Used(Contract):
    """What a person or a project takes now."""

    waiting: int
    running: int
    device_seconds: float
    storage: int
    resets: datetime
    """When the day's seconds begin anew."""


def count_of(text: str, field: str) -> int | None:
    """Read a count; empty is no limit. UserError names the field."""
    if not text.strip():
        return None
    if not re.fullmatch(r"[0-9]{1,6}", text.strip()):
        raise UserError(
            f"{text[:40]!r} is no number of runs; expected 0 to 999999, or nothing for no limit.",
            field=field,
        )
    return int(text)


def time_of(text: str, field: str) -> float | None:
    """Read a length of time, as 4h; empty is no limit. UserError names the field."""
    if not text.strip():
        return None
    try:
        return seconds_of(text, field)
    except UserError:
        raise UserError(
            f"{text[:40]!r} is no length of time; expected one above 0 such as 30m, 4h or 1d12h, "
            f"or nothing for no limit.",
            field=field,
        ) from None


def bytes_of(text: str, field: str) -> int | None:
    """Read a size, as 20GB; empty is no limit. UserError names the field."""
    if not text.strip():
        return None
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([KMGT]B)", text.strip().upper())
    if found is None:
        raise UserError(
            f"{text[:40]!r} is no size; expected a number with KB, MB, GB or TB such as 20GB, or "
            f"nothing for no limit.",
            field=field,
        )
    return int(Decimal(found[1]) * _SIZES[found[2]])


def size_words(n: float) -> str:
    """A size in words, of three digits, as 20GB."""
    unit = next((unit for unit, size in reversed(_SIZES.items()) if n >= size), "KB")
    return f"{n / _SIZES[unit]:.3g}{unit}"


def size_text(n: int) -> str:
    """A limit's size as `bytes_of` reads it, to the byte: a form that is saved again changes
    nothing."""
    sizes = reversed(_SIZES.items())
    exact = ((unit, size) for unit, size in sizes if n >= size and n * 1000 % size == 0)
    unit, size = next(exact, ("KB", _SIZES["KB"]))
    return f"{(Decimal(n) / size).normalize():f}{unit}"


def time_words(seconds: float) -> str:
    """A length of time as `time_of` reads it, as 3h50m; whole seconds below a minute."""
    left, words = round(seconds), ""
    for unit, size in {"d": 86400, "h": 3600, "m": 60, "s": 1}.items():
        if left >= size:
            words, left = f"{words}{left // size}{unit}", left % size
    return words or "0s"


_READ: dict[str, tuple[str, Callable[[str, str], float | None]]] = {
    "waiting": ("waiting", count_of),
    "running": ("running", count_of),
    "daily": ("device_seconds", time_of),
    "storage": ("storage", bytes_of),
}
"""Field of a form or command -> the limit, and how it is read."""


def read_limits(given: Mapping[str, str], held: Limits | None = None) -> Limits:
    """Read what a form or a command line says; what it leaves out stays as `held` has it.

    UserError with a sentence for each field that cannot be read.
    """
    values = (held or Limits()).model_dump()
    problems = []
    for field, (name, read) in _READ.items():
        if field in given:
            try:
                values[name] = read(given[field], field)
            except UserError as error:
                problems += [(field, sentence) for _, sentence in error.problems]
    if values["running"] == 0:
        problems.append(("running", "0 runs at once would compute nothing; expected 1 and more."))
    if problems:
        raise UserError(problems=problems)
    return Limits(**values)


def limits_words(limits: Limits) -> str:
    """Limits in words."""
    said = []
    if limits.waiting is not None:
        said.append(f"{limits.waiting} waiting")
    if limits.running is not None:
        said.append(f"{limits.running} at once")
    if limits.device_seconds is not None:
        said.append(f"{time_words(limits.device_seconds)} a day")
    if limits.storage is not None:
        said.append(f"{size_text(limits.storage)} of files")
    return ", ".join(said) or "no limits"


def used_words(used: Used) -> str:
    """What is taken, in words."""
    return (
        f"{used.waiting} waiting, {used.running} at once, {time_words(used.device_seconds)} today, "
        f"{size_words(used.storage)} of files"
    )

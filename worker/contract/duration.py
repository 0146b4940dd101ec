"""Lengths of time as they are given on a command line: 90s, 10m, 3h50m, 1d12h."""

import re

from worker.contract.errors import UserError

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


def seconds_of(text: str, option: str) -> float:
    """Read a length of time, in seconds; raises UserError that names the option."""
    found = re.fullmatch(r"(?:\d+[dhms])+", text.strip())
    parts = re.findall(r"(\d+)([dhms])", text) if found else []
    units = "".join(unit for _, unit in parts)
    seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if not seconds or units != "".join(unit for unit in _UNITS if unit in units):
        raise UserError(
            f"{option} is {text!r}; expected a length of time above 0 such as 90s, 10m, 3h50m or "
            f"1d12h, the largest unit first.",
            field=option,
        )
    return seconds

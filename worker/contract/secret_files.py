"""Secret settings from files: each may be given by `LETHE_<NAME>_FILE`, as containers give them.

Files are read once, with the other settings. What a file holds must be whole: one printable line.
Whoever may write it chooses the secret, so others may not; that others may read it is said.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.contract.private import is_open

SECRETS = ("token", "database_url", "artifacts_url", "oidc_client_secret")
"""The settings that are secrets or hold one."""
LONGEST = 16_384
"""Bytes of a secret."""
_WRITING = 0o022


def with_secrets(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they were given, with the secrets that stand in files; raises ValueError with a
    sentence, without its full stop, for each that cannot be used. An empty name names no file."""
    values, problems = dict(given), []
    for name in SECRETS:
        path = values.get(f"{name}_file")
        if not path:
            values.pop(f"{name}_file", None)
        elif values.get(name):
            problems.append(
                f"{variable(name)} and {variable(name)}_FILE are both set; expected one"
            )
        else:
            try:
                values[name] = _read(Path(path))
            except ValueError as error:
                problems.append(f"{variable(name)}_FILE is {str(path)!r}, which {error}")
    if problems:
        raise ValueError(". ".join(problems))
    return values


def exposed(settings: Any) -> list[str]:
    """A sentence for each secret's file that other users of the machine may read."""
    files = {name: getattr(settings, f"{name}_file") for name in SECRETS}
    return [
        f"{variable(name)}_FILE is {str(path)!r}, which other users of this machine may read "
        f"(mode {_mode(path):04o}); expected its owner alone: chmod 600 {path}"
        for name, path in files.items()
        if path is not None and path.exists() and is_open(path)
    ]


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"LETHE_{name.upper()}"


def _read(path: Path) -> str:
    """What a file holds, without the line's end; raises ValueError with what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
        mode = _mode(path)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if is_open(path) and mode & _WRITING:
        raise ValueError(
            f"other users of this machine may write (mode {mode:04o}), who then choose the secret; "
            f"expected its owner alone: chmod 600 {path}"
        )
    if len(data) > LONGEST:
        raise ValueError(f"is larger than {LONGEST} bytes; expected the secret alone")
    try:
        found = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError("is no UTF-8 text; expected the secret alone, in one line") from None
    if not found:
        raise ValueError("is empty; expected the secret, in one line")
    if not found.isprintable():
        raise ValueError(
            "holds more than one line, or what cannot be printed; expected the secret alone"
        )
    return found


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777

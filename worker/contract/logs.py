"""What a process logs: lines for people, or with LETHE_LOG=json one JSON object a line.

An object has `time` (UTC), `level`, `logger`, `message`, with `run` and `person` where they are
known, and `exception` with the traceback of one.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

Form = Literal["text", "json"]
FIELDS = ("run", "person")
"""What a line may be about; also given as `extra` of one line."""
_about: ContextVar[dict[str, str] | None] = ContextVar("about", default=None)


def set_up(form: Form, level: int, text: str) -> None:
    """Log to standard error; `text` is the format of lines for people."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Json() if form == "json" else logging.Formatter(text))
    logging.basicConfig(level=level, handlers=[handler])


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """Name the run or person that is logged about in this block, on this thread."""
    known = (_about.get() or {}) | {name: value for name, value in fields.items() if value}
    token = _about.set(known)
    try:
        yield
    finally:
        _about.reset(token)


class Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record so."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        known = _about.get() or {}
        for name in FIELDS:
            if value := getattr(record, name, "") or known.get(name, ""):
                said[name] = value
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)

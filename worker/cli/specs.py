"""Specs as files."""

import json
from pathlib import Path
from typing import Any

from worker.contract.errors import UserError


def read_spec(path: Path) -> Any:
    """Read a file's JSON; raise UserError where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no file {str(path)!r}.", field="spec") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{str(path)!r} is no JSON: {error}.", field="spec") from None

"""Texts that stand in JSON: a list of them, or of objects that hold one each, or lines of these.

MUSE gives its texts so (`text`), and what is to be recited from memory as a prompt and what goes on
after it (`prompt`, `gt`), which are joined as running text.

Source: Shi et al. 2024, MUSE (arXiv 2407.06460).
"""

import json
from collections.abc import Iterator
from typing import Any

from worker.contract.errors import UserError
from worker.contract.joining import joined

ENDINGS = (".json", ".jsonl", ".ndjson")
_WHOLE = ("text", "content", "passage", "story")
_BEGINS = "prompt"
_GOES_ON = ("gt", "continuation", "completion", "response")
_EXPECTED = (
    "expected a list of texts, or of objects with "
    + ", ".join(map(repr, _WHOLE))
    + f" or with {_BEGINS!r} and one of {', '.join(map(repr, _GOES_ON))}"
)


def texts_of(text: str, filename: str) -> str:
    """Join the texts of a JSON file with an empty line between; a plain text is given back.

    A file is JSON that is called so, or that is JSON from its first bracket to its last. Raises
    UserError for JSON in which no text is found, with its line.
    """
    named = filename.lower().endswith(ENDINGS)
    if not named and text.lstrip()[:1] not in ("[", "{"):
        return text
    try:
        found = list(_parsed(text))
    except (ValueError, RecursionError) as error:
        if not named:
            return text
        raise UserError(f"{filename[:100]!r} is no JSON: {error}.", field="file") from None
    return "\n\n".join(_text(value, where) for value, where in found)


def _parsed(text: str) -> Iterator[tuple[Any, str]]:
    """Give every text's value with its place in words."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not lines[0][1].lstrip().startswith(("{", '"')):
            raise
        yield from ((json.loads(line), f"Line {n}") for n, line in lines)
        return
    yield from ((one, f"Record {n}") for n, one in enumerate(_listed(value), 1))


def _listed(value: Any) -> list[Any]:
    """A list; of an object with lists, all that is in them; else what stands alone."""
    if isinstance(value, list):
        return value
    lists = [part for part in value.values() if isinstance(part, list)] if _is_bare(value) else []
    return [one for part in lists for one in part] or [value]


def _is_bare(value: Any) -> bool:
    return isinstance(value, dict) and not any(key in value for key in (*_WHOLE, _BEGINS))


def _text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise UserError(f"{where} is {str(value)[:60]!r}; {_EXPECTED}.", field="file")
    whole = next((value[key] for key in _WHOLE if isinstance(value.get(key), str)), None)
    if whole is not None:
        return str(whole)
    begins = value.get(_BEGINS)
    goes_on = next((value[key] for key in _GOES_ON if isinstance(value.get(key), str)), None)
    if isinstance(begins, str) and goes_on is not None:
        return "".join(joined(begins, goes_on))
    keys = ", ".join(repr(str(key)[:40]) for key in list(value)[:12]) or "no keys"
    raise UserError(
        f"{where} has {keys}; {_EXPECTED}. Facts and questions are brought under Facts.",
        field="file",
    )

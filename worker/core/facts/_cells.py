"""One cell of a table as text, as a list of texts, or as a list of objects."""

import ast
import json
import math
import re
from typing import Any

from worker.core.facts._seam import kept_end

MAX_CELL = 20_000
_SURROGATE = re.compile("[\ud800-\udfff]")
_QUOTED = re.compile(r"""'([^'\\\n\r\0]*)'|"([^"\\\n\r\0]*)\"""")
_LIST = re.compile(rf"\[\s*(?:{_QUOTED.pattern})(?:\s*,\s*(?:{_QUOTED.pattern}))*\s*\]")
"""A list of quoted texts without escapes, which Python and JSON (within \") read alike."""


def cell_text(value: Any, field: str) -> str:
    """The cell's text without spaces around it; ValueError for a list, or for odd characters."""
    # Of CounterFact's 22,000 records 400,000 cells come here, nearly all of them text.
    text = (value if type(value) is str else _as_text(value, field)).strip()
    if len(text) > MAX_CELL:
        raise ValueError(f"{field} has {len(text):,} characters; expected at most {MAX_CELL:,}")
    if "\x00" in text:
        raise ValueError(f"{field} holds a NUL character; expected text")
    if not text.isascii() and _SURROGATE.search(text):
        raise ValueError(f"{field} holds half of a surrogate pair; expected valid Unicode")
    return text


def _as_text(value: Any, field: str) -> str:
    if isinstance(value, dict):
        value = value.get("str", "")
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        raise ValueError(f"{field} is a list; expected text")
    if isinstance(value, float):
        return _number(value, field)
    if isinstance(value, bytes):  # a column of Parquet that is not marked as text
        return _decoded(value, field)
    return str(value)


def _number(value: float, field: str) -> str:
    """A number as running text has it: tables keep whole ones as 1969.0, and NaN for no value."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        raise ValueError(f"{field} is {value}; expected text or a number")
    return f"{value:.0f}" if value.is_integer() and abs(value) < 2**53 else str(value)


def _decoded(value: bytes, field: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{field} holds bytes that are no UTF-8; expected text") from None


def text_list(value: Any) -> tuple[str, ...]:
    """A list, or the text of one (as in the paper's CSV variant of CounterFact)."""
    if isinstance(value, str):
        value = _parsed_list(value.strip())
    _check_list(value, "a list's cell")
    items = value or ()
    if all(type(item) is str for item in items):
        # Of CounterFact's 22,000 records 500,000 texts come here: looked at together, not one by
        # one; where one is odd it is found below.
        whole = "".join(items)
        odd = "\x00" in whole or (not whole.isascii() and _SURROGATE.search(whole))
        if not odd and max(map(len, items), default=0) <= MAX_CELL:
            return tuple(item.lstrip() for item in items if item and not item.isspace())
    return tuple(
        kept_end(item, text) for item in items if (text := cell_text(item, "a list's entry"))
    )


def records(value: Any, field: str) -> tuple[dict[str, str | tuple[str, ...]], ...]:
    """A list of objects, or the JSON text of one; a bare template is a translation's prompt."""
    items = _parsed_list(value.strip()) if isinstance(value, str) else value
    _check_list(items, field)
    found = []
    for item in items or ():
        if isinstance(item, str) and field == "translations":
            item = {"prompt": item}
        if not isinstance(item, dict):
            raise ValueError(f"{field} holds {str(item)[:60]!r}; expected objects with a prompt")
        texts = {str(k): _value(v, f"{field}.{k}") for k, v in item.items()}
        if isinstance(prompt := texts.get("prompt"), str):
            texts["prompt"] = kept_end(item["prompt"], prompt)
        found.append(texts)
    return tuple(found)


def _value(value: Any, field: str) -> str | tuple[str, ...]:
    return text_list(value) if isinstance(value, (list, tuple)) else cell_text(value, field)


def _check_list(value: Any, field: str) -> None:
    if value is not None and not isinstance(value, (list, tuple)):
        raise ValueError(f"{field} is {str(value)[:60]!r}; expected a list")


def _parsed_list(text: str) -> Any:
    if not text:
        return ()
    if len(text) > MAX_CELL * 5:
        raise ValueError(f"a list has {len(text):,} characters; expected at most {MAX_CELL * 5:,}")
    if not text.startswith("["):
        return tuple(part.strip() for part in text.split("|"))
    if _LIST.fullmatch(text):  # as nearly all are: ten times faster than a parser of Python
        return [single or double for single, double in _QUOTED.findall(text)]
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list):
            return value
    raise ValueError(f'{text[:60]!r} is no list; expected ["…", "…"] or entries with | between')

"""The layouts of the field's benchmarks: a record is told by its keys and put into a fact's words.

A layout is one file in this folder (or in the plugins' `facts/`). It has `TITLE`, `KEYS` (sets of
keys, of which a record of it has at least one set) and `rows(record)`, which gives a mapping from a
fact's fields to values for every fact of the record, or raises ValueError with the reason why it
holds none. A record that has a fact's own fields needs no layout. `note` in a row says what a
reader should know of how it was understood.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from pydantic import ValidationError

from worker.contract.facts import Fact
from worker.core.facts._columns import NAMES, REQUIRED, by_name
from worker.core.facts.rows import Row
from worker.core.registry import modules

SECTION = "section"
"""The key under which a record finds the name of the list that it stood in."""
OWN = "Lethe's facts"
_OWN_KEYS = frozenset({"id", "group", "relation", *REQUIRED})
"""What tells a fact that Lethe wrote, where no field that is empty is left out."""
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_TAKEN = frozenset(name for names in NAMES.values() for name in names)
"""Names of columns that would be read beside what a layout gives."""


@dataclass(frozen=True)
class Arranged:
    """Rows of facts, the columns they have, and the layouts they were found in."""

    rows: list[Row]
    columns: list[str]
    format: str


@dataclass(frozen=True)
class Layout:
    """How a record of some benchmark becomes facts."""

    title: str
    keys: tuple[frozenset[str], ...]
    rows: Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]]


def layouts() -> list[Layout]:
    """Every layout that has a file."""
    return [
        Layout(module.TITLE, tuple(map(frozenset, module.KEYS)), module.rows)
        for module in modules("facts")
        if hasattr(module, "KEYS")
    ]


def arrange(rows: Iterable[Row], mapping: Mapping[str, str], format: str) -> Arranged:
    """Put every row into a fact's words, by its own layout."""
    known = layouts()
    layout_of = cache(lambda keys: None if _is_plain(keys, mapping) else _best(keys, known))
    arranged: list[Row] = []
    titles: Counter[str] = Counter()
    for row in rows:
        layout = None if row.problem else layout_of(frozenset(row.cells))
        fact = None if layout or row.problem else _own(row.cells, mapping)
        arranged += _expanded(row, layout) if layout else [replace(row, fact=fact)]
        titles[layout.title if layout else OWN if fact else format] += not row.problem
    columns = dict.fromkeys(key for row in arranged for key in row.cells)
    named = sorted((t for t, n in titles.most_common(4) if n), key=lambda title: title == format)
    return Arranged(arranged, list(columns), " and ".join(named) or format)


def is_record(value: Mapping[str, Any]) -> bool:
    """Say whether an object is a record itself, and no collection of them."""
    return _is_plain(value, {}) or _best(frozenset(value), layouts()) is not None


def _expanded(row: Row, layout: Layout) -> Iterator[Row]:
    try:
        found = list(layout.rows(row.cells))
        if not found:
            raise ValueError(f"this {layout.title} record holds no fact")
    except ValueError as error:
        yield replace(row, problem=str(error))
        return
    rest = {
        key: value
        for key, value in row.cells.items()
        if isinstance(value, (str, int, float)) and key.lower() not in _TAKEN
    }
    for i, given in enumerate(found):
        name = f"row-{row.number}" + (f".{i + 1}" if len(found) > 1 else "")
        cells = {**rest, "id": name, **{k: v for k, v in given.items() if k != "note"}}
        yield Row(row.number, row.at, cells, note=given.get("note", ""))


def _is_plain(keys: Iterable[str], mapping: Mapping[str, str]) -> bool:
    """Say whether a fact's own fields are there, as they are named or as they are asked for."""
    keys = list(keys)
    found = by_name(keys, mapping)
    return all(found.get(name, "").startswith("=") or found.get(name) in keys for name in REQUIRED)


def _best(keys: frozenset[str], known: Iterable[Layout]) -> Layout | None:
    """The layout of which the most keys are there."""
    fitting = [(len(keys_), one) for one in known for keys_ in one.keys if keys_ <= keys]
    return max(fitting, key=lambda found: found[0], default=(0, None))[1]


def _own(cells: Mapping[str, Any], mapping: Mapping[str, str]) -> Fact | None:
    """A fact that Lethe wrote, to the letter; None for anything else, or where it is mapped."""
    data = {key: value for key, value in cells.items() if key != SECTION}
    if not _OWN_KEYS <= set(data) <= set(Fact.model_fields):
        return None
    if any(field != column for field, column in mapping.items()):
        return None
    if _NO_TEXT.search(json.dumps(data, ensure_ascii=False)):
        return None
    try:
        return Fact.model_validate(data)
    except ValidationError:
        return None

"""What is in a benchmark's record, whatever it holds instead: texts, answers, lists of objects."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.core.facts._cells import cell_text

Record = Mapping[str, Any]
ONLY_NEW = "no old answer is known, so the new one is the target and there is none to edit to"

_DEEPEST = 8
"""Levels of lists in which answers are looked for."""


def text(record: Record, key: str) -> str:
    """A text that must be there; ValueError with the reason where it is not."""
    found = optional(record, key)
    if not found:
        raise ValueError(f"{key!r} is empty; expected text")
    return found


def optional(record: Record, key: str) -> str:
    """A text, or "" where there is none; of `{"str": …}` the text in it."""
    return cell_text(record.get(key), key)


def changed(old: str, new: str) -> dict[str, str]:
    """A fact's answers before and after an edit; where no old one is known, the new is the target.

    ValueError where there is neither.
    """
    if not old and not new:
        raise ValueError("there is no answer; expected an old one, a new one, or both")
    if not old:
        return {"target": new, "edit_target": "", "note": ONLY_NEW}
    return {"target": old, "edit_target": "" if new == old else new}


def answers(value: Any) -> tuple[str, ...]:
    """Every text in an answer, in a list of answers, or in a list of lists of wordings, once."""
    return tuple(dict.fromkeys(text for text in _texts(value, _DEEPEST) if text))


def _texts(value: Any, depth: int) -> Iterator[str]:
    if depth == 0:
        raise ValueError(f"an answer is nested {_DEEPEST} times; expected texts")
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one, depth - 1)
    elif isinstance(value, Mapping) and "value" in value:
        yield from _texts([value["value"], value.get("aliases")], depth - 1)
    else:
        yield cell_text(value, "an answer")


def objects(value: Any) -> list[Record]:
    """The objects in a list, or the one that stands alone; ValueError for anything else."""
    found = [value] if isinstance(value, Mapping) else value or []
    if not isinstance(found, (list, tuple)) or not all(isinstance(o, Mapping) for o in found):
        raise ValueError(f"{str(value)[:60]!r} stands where objects are expected")
    return list(found)

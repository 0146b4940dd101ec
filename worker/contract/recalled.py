"""What a finished measurement of the evaluation `knowledge` says of every fact."""

from collections.abc import Iterator, Mapping

from worker.contract.known import Asked, Recalled
from worker.contract.result import Result, Table

EVALUATION = "knowledge"
WAYS: tuple[Asked, ...] = ("none", "one")
_WORDS: Mapping[str, str] = {
    "probability": "target probability",
    "rank": "target rank",
    "share": "share among answers",
    "place": "place among answers",
    "says": "says",
}


def columns(way: Asked, state: str) -> tuple[str, ...]:
    """Name the table's columns for a way of asking and a state (`before` or `after`)."""
    shot = "after a shot: " if way == "one" else ""
    return tuple(f"{shot}{words} {state}" for words in _WORDS.values())


def cells(one: Recalled | None) -> tuple[float | int | str | None, ...]:
    """The values under these columns; None where the fact was not asked so."""
    if one is None:
        return (None,) * len(_WORDS)
    return (round(one.probability, 6), one.rank, round(one.share, 6), one.place, one.says)


def recalled_of(result: Result, state: str = "before") -> dict[Asked, dict[str, Recalled]]:
    """Read what a finished measurement says of each fact, by the way of asking.

    Only the ways that the run asked, with all that is asked today, are there.
    """
    found = result.evaluations.get(EVALUATION)
    if found is None or found.facts is None:
        return {}
    ways: dict[Asked, dict[str, Recalled]] = {}
    for way in WAYS:
        if set(columns(way, state)) <= set(found.facts.columns):
            ways[way] = dict(_read(found.facts, columns(way, state)))
    return ways


def _read(table: Table, names: tuple[str, ...]) -> Iterator[tuple[str, Recalled]]:
    at = {column: i for i, column in enumerate(table.columns)}
    for row in table.rows:
        values = [row[at[name]] for name in names]
        if values[0] is not None:
            made = dict(zip(_WORDS, values, strict=True))
            yield str(row[at["fact"]]), Recalled.model_validate(made)

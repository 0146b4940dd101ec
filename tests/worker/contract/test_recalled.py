"""What a finished measurement of `knowledge` says of every fact."""

from typing import Any

from worker.contract.known import Recalled
from worker.contract.recalled import cells, columns, recalled_of
from worker.contract.result import Evaluation, Provenance, Result, Table

ONE = Recalled(probability=0.25, rank=3, share=0.5, place=2, says=" Rome")
OTHER = Recalled(probability=1.0, rank=1, share=1.0, place=1)


def measured(table: Table | None, name: str = "knowledge") -> Result:
    evaluation = Evaluation(name=name, title="", caption="", aggregates=(), facts=table)
    made = Provenance(
        model="m", weights_hash="h", seed=0, device="cpu", dtype="float32", versions={}
    )
    return Result(
        kind="evaluate",
        spec={},
        provenance=made,
        seconds=1,
        peak_memory_bytes=0,
        evaluations={name: evaluation},
    )


def table(
    *ways: Any, rows: list[tuple[str, list[Recalled | None]]], state: str = "before"
) -> Table:
    names = ("more", "fact", *(c for way in ways for c in columns(way, state)))
    filled = tuple(
        ("x", fact, *(cell for one in answers for cell in cells(one))) for fact, answers in rows
    )
    return Table(columns=names, rows=filled)


def test_the_columns_say_the_way_of_asking_and_the_state() -> None:
    assert columns("none", "before") == (
        "target probability before",
        "target rank before",
        "share among answers before",
        "place among answers before",
        "says before",
    )
    assert columns("one", "after")[0] == "after a shot: target probability after"


def test_what_was_not_asked_is_empty_and_shares_are_rounded() -> None:
    assert cells(None) == (None,) * 5
    rounded = ONE.model_copy(update={"probability": 0.123456789, "share": 0.987654321})
    assert cells(rounded) == (0.123457, 3, 0.987654, 2, " Rome")


def test_a_measurement_is_read_back_by_way_and_fact() -> None:
    both = table("none", "one", rows=[("f1", [ONE, OTHER]), ("f2", [None, ONE])])
    assert recalled_of(measured(both)) == {
        "none": {"f1": ONE},
        "one": {"f1": OTHER, "f2": ONE},
    }


def test_a_way_or_a_state_that_was_not_asked_is_not_there() -> None:
    bare = measured(table("none", rows=[("f1", [ONE])], state="after"))
    assert recalled_of(bare) == {}
    assert recalled_of(bare, "after") == {"none": {"f1": ONE}}


def test_another_evaluation_or_one_without_facts_says_nothing() -> None:
    assert recalled_of(measured(table("none", rows=[("f1", [ONE])]), "probes")) == {}
    assert recalled_of(measured(None)) == {}

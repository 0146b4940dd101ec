import pytest

from worker.contract.repetition import compare, differences, n_differing
from worker.contract.result import ChangedTensor, Provenance, Receipt, Result


def result(hash: str = "h", **summary: float | int | str | None) -> Result:
    made = Provenance(
        model="demo", weights_hash=hash, seed=0, device="cpu", dtype="float32", versions={}
    )
    return Result(
        kind="unlearn",
        spec={},
        provenance=made,
        seconds=1,
        peak_memory_bytes=1,
        summary=summary,
    )


def test_differences_are_named_with_both_numbers() -> None:
    assert differences(result(loss=0.5), result(loss=0.500001)) == []
    assert differences(result(loss=0.5), result(loss=0.6)) == ["loss: recorded 0.5, repeated 0.6"]
    assert differences(result(loss=0.5), result()) == ["loss: recorded 0.5, repeated None"]


@pytest.mark.parametrize(
    ("recorded", "repeated", "agrees"),
    [
        (1000.0, 1000.05, True),
        (1000.0, 1000.5, False),
        (3, 3, True),
        (3, 4, False),
        ("blocks.1", "blocks.1", True),
        ("blocks.1", "blocks.2", False),
        (None, None, True),
    ],
)
def test_numbers_agree_within_a_share_of_their_size_and_names_exactly(
    recorded: float | str | None, repeated: float | str | None, agrees: bool
) -> None:
    rows = {row.name: row for row in compare(result(x=recorded), result(x=repeated))}
    assert rows["x"].agrees is agrees


def test_times_are_not_compared_and_other_weights_are_said() -> None:
    rows = compare(result(**{"run.seconds": 1.0}), result("other", **{"run.seconds": 9.0}))
    assert [(row.name, row.agrees) for row in rows] == [("the base's weights", False)]
    assert n_differing(rows) == 1


def test_the_tensors_that_changed_are_counted_where_both_runs_have_a_receipt() -> None:
    tensor = ChangedTensor(name="w", n_changed=1, n_parameters=2, norm=1.0, relative_norm=0.5)

    def with_receipt(n: int) -> Result:
        receipt = Receipt(
            tensors=(tensor,) * n,
            n_parameters=2,
            n_changed=1,
            hash_before="a",
            hash_after="b",
            outside_unchanged=True,
            n_outside_checked=1,
            base_restored=True,
        )
        return result().model_copy(update={"receipt": receipt})

    def counted(*pair: Result) -> list[tuple[object, object, bool]]:
        rows = [row for row in compare(*pair) if row.name == "tensors changed"]
        return [(row.recorded, row.repeated, row.agrees) for row in rows]

    assert counted(with_receipt(2), with_receipt(2)) == [(2, 2, True)]
    assert counted(with_receipt(2), with_receipt(1)) == [(2, 1, False)]
    assert counted(with_receipt(1), result()) == [] == counted(result(), with_receipt(1))

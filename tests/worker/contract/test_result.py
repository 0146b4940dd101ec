"""What a result says where its maker said nothing: results that were kept are read for years."""

from worker.contract.result import (
    ArrayInfo,
    Attribution,
    Axis,
    Comparison,
    Estimate,
    Evaluation,
    Provenance,
    Result,
    Table,
    TracedFact,
)

MADE = {"model": "m", "weights_hash": "h", "seed": 0, "device": "cpu", "dtype": "f", "versions": {}}
BARE = {"kind": "localize", "spec": {}, "provenance": MADE, "seconds": 1, "peak_memory_bytes": 0}


def said(model: object, *given: str) -> dict[str, object]:
    """A model's fields but for those that were given."""
    return {k: v for k, v in vars(model).items() if k not in given}


def test_a_result_of_nothing_holds_nothing() -> None:
    assert said(Result.model_validate(BARE), *BARE) == {
        "paces": (),
        "arrays": {},
        "summary": {},
        "caption": "",
        "left_out": (),
        "attribution": None,
        "mask": None,
        "receipt": None,
        "evaluations": {},
        "tables": {},
        "files": {},
        "view": {},
    }


def test_a_provenance_that_says_less_is_of_a_whole_unedited_model() -> None:
    assert said(Provenance.model_validate(MADE), *MADE) == {
        "edits": (),
        "interventions": (),
        "revision": None,
        "model_note": "",
        "fact_set": None,
        "fact_set_hash": None,
        "forget": None,
        "shot": False,
        "load_in": None,
        "placement": {},
    }


def test_what_was_switched_on_stands_in_a_provenance_only_where_something_was() -> None:
    assert "interventions" not in Provenance.model_validate(MADE).model_dump()
    on = Provenance.model_validate(MADE | {"interventions": ("head 1 of layer 0 set to zero",)})
    assert on.model_dump()["interventions"] == ("head 1 of layer 0 set to zero",)


def test_an_array_is_unsigned_and_whole_unless_it_says_otherwise() -> None:
    array = ArrayInfo(file="f", axes=(Axis(name="layer"),), unit="1")
    assert (array.title, array.signed, array.gaps) == ("", False, "")
    assert array.axes[0].labels is None
    assert Table(columns=("a",), rows=()).title == ""


def test_an_attribution_may_have_neither_facts_nor_a_choice() -> None:
    given = {"method": "m", "metric": "logit_diff", "direction": "up", "unit": "1"}
    assert said(Attribution.model_validate(given), *given) == {
        "facts": (),
        "suggested": None,
        "no_choice": "",
        "operations": None,
    }
    fact = TracedFact(
        id="a", label="A", tokens=("A",), subject=(0, 1), answer="x", clean=1, corrupted=0
    )
    assert fact.foil == ""


def test_what_was_not_measured_is_not_there() -> None:
    one = Comparison(name="n", title="t", better="none")
    assert (one.before, one.after) == (None, None)
    evaluation = Evaluation(name="n", title="t", caption="", aggregates=())
    assert (evaluation.facts, evaluation.tables) == (None, {})


def test_every_result_has_a_view_of_its_own() -> None:
    one, other = (Result.model_validate(BARE) for _ in range(2))
    one.view["x"] = 1
    assert other.view == {}


def test_an_array_holds_its_values_itself_only_where_it_has_some() -> None:
    array = ArrayInfo(file="f", axes=(Axis(name="layer"),), unit="1")
    assert "values" not in array.model_dump()
    held = array.model_copy(update={"values": [0.5, None]})
    assert held.model_dump()["values"] == [0.5, None]


def test_an_interval_over_one_is_not_shown() -> None:
    one = Estimate(mean=0.4, low=0.4, high=0.4, n=1)
    assert one.bounds == (None, None)
    assert one.model_copy(update={"low": 0.3, "n": 2}).bounds == (0.3, 0.4)
    assert "bounds" not in one.model_dump()

"""Means of an evaluation with their intervals."""

import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.estimates import offers, quantities
from worker.contract.result import Comparison


def test_means_carry_their_intervals(evaluation: Source) -> None:
    drawing = draw("estimates", evaluation, {"evaluation": "probes"})
    before, after = drawing.figure()["data"]
    assert (before["name"], after["name"]) == ("before", "after")
    assert after["y"][0] == pytest.approx(0.2, abs=1e-3)
    assert after["error_y"]["array"][0] == pytest.approx(0.15, abs=1e-3)
    assert after["error_y"]["arrayminus"][0] == pytest.approx(0.1, abs=1e-3)
    assert drawing.figure()["layout"]["xaxis"]["ticktext"][0] == "statement, forget"


def test_without_an_edit_there_is_one_series_and_a_mean_may_lack(
    evaluation: Source,
) -> None:
    found = evaluation.result.evaluations["probes"]
    bare = tuple(one.model_copy(update={"after": None}) for one in found.aggregates)

    def drawn(aggregates: tuple[Comparison, ...]) -> list[dict[str, object]]:
        other = found.model_copy(update={"aggregates": aggregates})
        result = evaluation.result.model_copy(update={"evaluations": {"probes": other}})
        return draw("estimates", Source(result, evaluation.open), {}).figure()["data"]

    assert [trace["name"] for trace in drawn(bare)] == ["before"]
    before, after = drawn((bare[0], *found.aggregates[1:]))
    assert after["y"][0] is None and after["y"][1] == pytest.approx(0.2, abs=1e-3)
    assert before["y"][0] == pytest.approx(0.9, abs=1e-3)


def test_one_quantity_is_shown_at_a_time_and_named_in_words(evaluation: Source) -> None:
    found = evaluation.result.evaluations["probes"]
    one = Comparison(
        name="probes.rank", title="Rank of all", better="lower", before=found.aggregates[0].before
    )
    other = found.model_copy(update={"aggregates": (*found.aggregates, one)})
    result = evaluation.result.model_copy(update={"evaluations": {"probes": other}})
    assert {name: len(of) for name, of in quantities(other).items()} == {
        "target_probability": 6,
        "rank": 1,
    }
    drawing = draw("estimates", Source(result, evaluation.open), {"of": "rank"})
    assert drawing.figure()["layout"]["xaxis"]["ticktext"] == ["Rank of all"]
    assert drawing.caption.startswith("Mean rank over the facts of each group")
    [offer] = offers(result)
    assert offer.controls[0].choices[0] == ("target_probability", "target probability")
    empty = other.model_copy(update={"aggregates": ()})
    assert offers(evaluation.result.model_copy(update={"evaluations": {"probes": empty}})) == []

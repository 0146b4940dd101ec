"""Facts by formats: before, after and their difference."""

import csv
import io

import pytest

from app.csv_text import write
from app.drawing.drawing import Drawing, Source
from app.drawing.find import draw
from app.figures.probes_heatmap import families, offers
from worker.contract.errors import UserError


def rows_of(drawing: Drawing) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(write(drawing.rows())), newline="")))


def test_before_and_after_share_one_range_and_the_difference_is_symmetric(
    evaluation: Source,
) -> None:
    drawing = draw("probes_heatmap", evaluation, {"facts": "all"})
    plot = drawing.figure()
    layout = plot["layout"]
    assert [trace["coloraxis"] for trace in plot["data"]] == [
        "coloraxis",
        "coloraxis",
        "coloraxis2",
    ]
    assert (layout["coloraxis"]["cmin"], layout["coloraxis"]["cmax"]) == (0, 1)
    assert (layout["coloraxis2"]["cmin"], layout["coloraxis2"]["cmax"]) == (-1, 1)
    assert drawing.scales == {"coloraxis": "sequential", "coloraxis2": "diverging"}
    assert plot["data"][2]["z"][0] == pytest.approx([-0.8, -0.6, -0.1], abs=1e-3)
    assert layout["yaxis"]["ticktext"][2] == "Serena &lt;i&gt;W&lt;/i&gt;"


def test_a_format_that_was_not_asked_stays_empty(evaluation: Source) -> None:
    plot = draw("probes_heatmap", evaluation, {}).figure()
    assert plot["data"][0]["z"][1][2] is None
    assert plot["data"][0]["hoverongaps"] is False


def test_forget_facts_are_shown_first_and_retain_facts_on_demand(evaluation: Source) -> None:
    forget = draw("probes_heatmap", evaluation, {}).figure()["layout"]["yaxis"]["ticktext"]
    retain = draw("probes_heatmap", evaluation, {"facts": "retain"}).table.rows
    assert forget == ["Michael Jordan", "Babe Babe"]
    assert [row[0] for row in retain] == ["Serena <i>W</i>"]


def test_a_download_of_levels_and_their_difference_names_each_ones_unit(evaluation: Source) -> None:
    rows = rows_of(draw("probes_heatmap", evaluation, {}))
    units = {row["panel"]: row["unit"] for row in rows}
    assert units == {
        "before": "probability", "after": "probability", "difference": "Δ probability"
    }  # fmt: skip
    assert {"value"} <= set(rows[0])


def test_before_any_edit_there_is_one_panel_and_facts_without_a_table_have_their_ids(
    evaluation: Source,
) -> None:
    arrays = {n: i for n, i in evaluation.result.arrays.items() if n.endswith("before")}
    result = evaluation.result.model_copy(update={"arrays": arrays, "evaluations": {}})
    bare = Source(result, evaluation.open)
    drawing = draw("probes_heatmap", bare, {"of": "probes.probe.edit_target"})
    assert len(drawing.figure()["data"]) == 1
    assert [row[0] for row in drawing.table.rows] == ["jordan", "babe", "kept"]
    assert drawing.caption.startswith("Edit target: probability of the whole answer")
    [offer] = offers(result)
    assert offer.title == "Facts × formats: probes"
    assert offers(evaluation.result)[0].title == "Facts × formats: Probes in many formats"
    assert [control.value for control in offer.controls] == ["probes.probe.target", "forget"]


def test_each_evaluation_draws_its_own_arrays(evaluation: Source) -> None:
    arrays = dict(evaluation.result.arrays)
    axes = arrays["probes.probe.target.before"].axes
    arrays |= {"other.target.before": arrays["probes.probe.target.before"]}
    arrays["wrong.before"] = arrays["other.target.before"].model_copy(update={"axes": axes[::-1]})
    result = evaluation.result.model_copy(update={"arrays": arrays})
    assert families(result) == [
        "probes.probe.target",
        "probes.probe.edit_target",
        "other.target",
    ]
    assert [dict(offer.fixed)["evaluation"] for offer in offers(result)] == ["probes", "other"]
    with pytest.raises(UserError, match=r"other\.target"):
        draw("probes_heatmap", evaluation, {"evaluation": "probes", "of": "other.target"})

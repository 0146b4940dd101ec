"""Curves, bars and the facts × formats heatmap, by axes, values and ranges."""

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.drawing.live import draw_live_curves, draw_live_grid
from app.drawing.numbers import quantize


def test_curves_measured_at_other_steps_share_one_axis(edit: Source) -> None:
    drawing = draw("training_curves", edit, {"of": "probability"})
    plot = drawing.figure()
    assert [trace["name"] for trace in plot["data"]] == [
        "forget probability",
        "edit probability",
        "retain probability",
    ]
    assert plot["data"][0]["x"] == [0, 2, 4, 6]
    assert plot["data"][1]["y"] == pytest.approx([0.01, 0.4, 0.7, 0.97], abs=1e-3)
    assert plot["layout"]["yaxis"]["range"] == [-0.03, 1.03]
    assert drawing.table.columns[0] == "step"


def test_lines_differ_in_more_than_colour(edit: Source) -> None:
    traces = draw("training_curves", edit, {"of": "probability"}).figure()["data"]
    assert len({trace["line"]["dash"] for trace in traces}) == len(traces)
    assert len({trace["marker"]["symbol"] for trace in traces}) == len(traces)


def test_losses_start_at_the_first_step(edit: Source) -> None:
    trace = draw("training_curves", edit, {"of": "loss"}).figure()["data"][0]
    assert (trace["x"][0], trace["y"][0]) == (1, 4)


def test_a_family_of_curves_over_layers_is_one_chart(localization: Source) -> None:
    plot = draw("curves", localization, {"of": "probe.full"}).figure()
    assert [trace["name"] for trace in plot["data"]] == ["full", "shuffled"]
    assert plot["data"][0]["x"] == [0, 1, 2, 3]
    assert plot["layout"]["yaxis"]["title"]["text"] == "accuracy"


def test_the_receipt_shows_every_changed_tensor(edit: Source) -> None:
    drawing = draw("receipt_bars", edit, {})
    plot = drawing.figure()
    assert plot["layout"]["xaxis"]["ticktext"][0] == "1.mlp.gate_proj"
    assert plot["data"][0]["y"] == pytest.approx([0.2] * 3 + [0.3] * 3, abs=1e-3)
    assert len(drawing.cells.rows) == 6


def test_layer_bars_take_the_largest_head_by_its_size(localization: Source) -> None:
    traces = draw("layer_bars", localization, {}).figure()["data"]
    by_name = {trace["name"]: trace["y"] for trace in traces}
    assert by_name["MLP"][3] == pytest.approx(-0.6, abs=1e-3)
    assert by_name["largest head"][3] == pytest.approx(0.15, abs=1e-3)


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


def test_means_carry_their_intervals(evaluation: Source) -> None:
    drawing = draw("estimates", evaluation, {"evaluation": "probes"})
    before, after = drawing.figure()["data"]
    assert (before["name"], after["name"]) == ("before", "after")
    assert after["y"][0] == pytest.approx(0.2, abs=1e-3)
    assert after["error_y"]["array"][0] == pytest.approx(0.15, abs=1e-3)
    assert after["error_y"]["arrayminus"][0] == pytest.approx(0.1, abs=1e-3)
    assert drawing.figure()["layout"]["xaxis"]["ticktext"][0] == "statement, forget"


def test_a_live_heatmap_fills_layer_by_layer() -> None:
    row = {
        "fact": "jordan",
        "site": "mlp",
        "values": [0.1, -0.2],
        "tokens": ["<bos>", " x"],
        "subject": [1, 2],
    }
    drawing = draw_live_grid([{**row, "layer": 0}, {**row, "layer": 2}], n_layers=4)
    assert drawing is not None
    z = drawing.figure()["data"][0]["z"]
    assert z == [[0.1, None, 0.1, None], [-0.2, None, -0.2, None]]
    assert draw_live_grid([], 4) is None


def test_a_live_heatmap_fills_token_by_token_from_the_subject_on() -> None:
    row = {"fact": "jordan", "site": "mlp", "tokens": ["<bos>", " x", " is"], "subject": [1, 2]}
    drawing = draw_live_grid([{**row, "position": 1, "values": [0.1, -0.2]}], n_layers=0)
    assert drawing is not None
    assert drawing.figure()["data"][0]["z"] == [[0, 0], [0.1, -0.2], [None, None]]


def test_live_curves_hold_every_point_that_came() -> None:
    points = [{"step": 0, "forget_loss": 4.0}, {"step": 5, "forget_loss": 1.0}]
    drawing = draw_live_curves(points, "loss")
    assert drawing is not None
    assert drawing.figure()["data"][0]["x"] == [0, 5]
    assert draw_live_curves(points, "probability") is None


def test_quantizing_moves_a_value_by_less_than_the_eye_sees() -> None:
    values = np.random.default_rng(0).normal(size=(50, 50))
    moved = np.abs(np.array(quantize(values)) - values).max()
    assert moved < np.ptp(values) / 500
    assert quantize(np.array([np.nan, np.inf, 1.0])) == [None, None, 1.0]
    assert quantize(np.zeros(2)) == [0.0, 0.0]

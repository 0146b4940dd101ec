"""What a training did, step by step."""

import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.training_curves import curves_of, draw_curves, offers


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


def test_losses_have_no_fixed_range_and_gaps_between_steps_are_bridged(edit: Source) -> None:
    drawing = draw("training_curves", edit, {"of": "loss"})
    assert all(trace["connectgaps"] is True for trace in drawing.traces)
    assert "range" not in drawing.figure()["layout"]["yaxis"]
    assert drawing.figure()["layout"]["yaxis"]["title"]["text"] == "loss (nats)"
    mixed = draw_curves("probability", {"a": {0.0: 0.5, 2.0: 0.75}, "b": {1.0: 0.25}})
    assert mixed.traces[0]["x"] == [0, 1, 2]
    assert mixed.figure()["data"][0]["y"] == [0.5, None, 0.75]
    assert mixed.figure()["layout"]["yaxis"]["title"]["text"] == "probability"


def test_curves_keep_the_order_of_what_is_forgotten_edited_and_kept(edit: Source) -> None:
    infos = edit.result.arrays
    names = ("curve.other_loss", "curve.general_loss", "curve.forget_loss", "curve.a_loss")
    arrays = dict.fromkeys(names, infos["curve.forget_loss"]) | {"loss": infos["curve.forget_loss"]}
    result = edit.result.model_copy(update={"arrays": arrays})
    assert curves_of(result, "loss") == [names[2], names[1], names[3], names[0]]
    assert [dict(offer.fixed) for offer in offers(result)] == [{"of": "loss"}]
    assert [dict(offer.fixed)["of"] for offer in offers(edit.result)] == ["probability", "loss"]


def test_steps_without_names_count_from_zero(edit: Source) -> None:
    info = edit.result.arrays["curve.forget_loss"]
    bare = info.model_copy(update={"axes": (info.axes[0].model_copy(update={"labels": None}),)})
    bare = bare.model_copy(update={"title": ""})
    result = edit.result.model_copy(update={"arrays": {"curve.forget_loss": bare}})
    trace = draw("training_curves", Source(result, edit.open), {}).figure()["data"][0]
    assert (trace["name"], trace["x"][:2]) == ("forget_loss", [0, 1])


def test_losses_of_different_units_name_each_its_own() -> None:
    curves = {"Forget loss": {1.0: -0.2}, "Retain loss": {1.0: 0.1}}
    drawing = draw_curves("loss", curves, {"Forget loss": "nats, negated", "Retain loss": "nats"})
    assert drawing.cells.columns == ("step", "Forget loss (nats, negated)", "Retain loss (nats)")
    assert drawing.figure()["layout"]["yaxis"]["title"]["text"] == "loss, each in its own unit"
    alike = draw_curves("loss", curves, dict.fromkeys(curves, "squared distance, relative"))
    y = alike.figure()["layout"]["yaxis"]["title"]["text"]
    assert y == "loss (squared distance, relative)"

"""The search for settings: rates on a grid, the one that was taken, lost trials as gaps."""

import numpy as np

from app.drawing.drawing import Source
from app.drawing.find import draw, offers
from worker.contract.result import ArrayInfo, Axis

RATES = ("4.4e-05", "0.00014", "0.00044")


def searched(edit: Source) -> Source:
    axes = (Axis(name="rate", labels=RATES),)
    values = {
        "goal": [0.2, 0.9, np.nan],
        "retain": [1.0, 0.97, np.nan],
        "divergence": [0.0, 0.01, np.nan],
    }
    arrays = {
        f"settings.{name}": ArrayInfo(file="s.npz", axes=axes, unit="share", title=name)
        for name in values
    }
    summary = edit.result.summary | {"settings.learning_rate": 0.00014}
    result = edit.result.model_copy(
        update={"arrays": edit.result.arrays | arrays, "summary": summary}
    )
    made = Source(result, edit.open)
    made._files["s.npz"] = {f"settings.{k}": np.array(v) for k, v in values.items()}
    return made


def test_the_rate_that_was_taken_is_shaded_and_lost_trials_are_gaps(edit: Source) -> None:
    source = searched(edit)
    assert "settings_search" in [offer.figure for offer in offers(source.result)]
    drawing = draw("settings_search", source, {})
    plot = drawing.figure()
    assert plot["layout"]["xaxis"]["ticktext"] == list(RATES)
    shaded = [s for s in plot["layout"]["shapes"] if s["name"] == "marked"]
    assert [(s["x0"], s["x1"]) for s in shaded] == [(0.5, 1.5)]
    goal = plot["data"][0]
    assert goal["y"][:2] == [0.2, 0.9] and goal["y"][2] is None
    assert "0.00014" in drawing.caption and len(drawing.cells.rows) == 3


def test_an_edit_whose_rate_was_given_has_no_such_figure(edit: Source) -> None:
    assert "settings_search" not in [offer.figure for offer in offers(edit.result)]

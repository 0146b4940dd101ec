"""Curves, bars and the facts × formats heatmap, by axes, values and ranges."""

import numpy as np

from app.drawing.live import draw_live_curves, draw_live_grid
from app.drawing.numbers import quantize


def test_a_live_heatmap_fills_layer_by_layer() -> None:
    row = {
        "fact": "jordan",
        "site": "mlp",
        "values": [0.1, -0.2],
        "tokens": ["<bos>", " x"],
        "subject": [1, 2],
        "unit": "Δ probability",
    }
    drawing = draw_live_grid([{**row, "layer": 0}, {**row, "layer": 2}], n_layers=4)
    assert drawing is not None
    z = drawing.figure()["data"][0]["z"]
    assert z == [[0.1, None, 0.1, None], [-0.2, None, -0.2, None]]
    bar = drawing.figure()["layout"]["coloraxis"]["colorbar"]["title"]["text"]
    assert bar.startswith("Δ probability, not final")
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

"""Arrays of two axes that no other figure draws."""

import numpy as np

from app.drawing.find import draw
from app.figures.matrices import matrices, offers
from tests.app.figures.conftest import info, source

VALUES = np.array([[0.0, 0.5], [-0.25, 1.0]])
INFOS = {
    "agreement": info(("method", "method"), unit="rank correlation", method=("a", "b")),
    "turned": info(("row", "layer"), unit="1", title="Turned", signed=True, row=("same", "same")),
    "roles.mlp": info(("layer", "role")),
    "components.facts": info(("fact", "component")),
    "asked.before": info(("fact", "format")),
    "one": info(("layer",)),
}


def test_what_other_figures_draw_is_left_to_them() -> None:
    result = source("evaluate", {}, INFOS).result
    assert matrices(result) == ["agreement", "turned"]
    assert [(o.title, dict(o.fixed)) for o in offers(result)] == [
        ("agreement", {"of": "agreement"}),
        ("Turned", {"of": "turned"}),
    ]


def test_rows_and_columns_have_their_names_or_numbers() -> None:
    made = source("evaluate", dict.fromkeys(("agreement", "turned"), VALUES), INFOS)
    drawing = draw("matrices", made, {})
    plot = drawing.figure()
    assert plot["layout"]["yaxis"]["ticktext"] == ["a", "b"]
    assert drawing.caption == "method × method, in rank correlation."
    np.testing.assert_allclose(plot["data"][0]["z"], VALUES, atol=2e-3)
    turned = draw("matrices", made, {"of": "turned"})
    assert turned.scales == {"coloraxis": "diverging"}
    assert turned.figure()["layout"]["xaxis"]["ticktext"] == ["0", "1"]
    assert turned.table.title == "Turned" or "Turned" in turned.title
    across = draw("matrices", made, {"transpose": "1"}).figure()
    np.testing.assert_allclose(across["data"][0]["z"], VALUES.T, atol=2e-3)

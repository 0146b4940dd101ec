"""Token roles by layer."""

import numpy as np

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.roles_heatmap import offers


def test_roles_are_rows_and_layers_columns(localization: Source) -> None:
    plot = draw("roles_heatmap", localization, {"site": "mlp"}).figure()
    assert plot["layout"]["yaxis"]["ticktext"][2] == "last subject"
    np.testing.assert_allclose(plot["data"][0]["z"], localization.array("roles.mlp").T, atol=1e-3)


def test_one_range_for_all_sites_is_used_where_it_is_asked_for(localization: Source) -> None:
    def range_of(site: str, **ask: str) -> float:
        plot = draw("roles_heatmap", localization, {"site": site, **ask}).figure()
        return float(plot["layout"]["coloraxis"]["cmax"])

    assert range_of("mlp") != range_of("attn")
    assert range_of("mlp", lock="1") == range_of("attn", lock="1") == range_of("resid")
    said = draw("roles_heatmap", localization, {"site": "mlp", "lock": "1"}).caption
    assert "Means over 2 facts" in said and said.endswith("One colour range for all sites.")
    assert "One colour range" not in draw("roles_heatmap", localization, {}).caption
    turned = draw("roles_heatmap", localization, {"transpose": "1"}).figure()
    assert turned["layout"]["xaxis"]["ticktext"][2] == "last subject"


def test_it_is_offered_where_roles_were_averaged(localization: Source, edit: Source) -> None:
    [offer] = offers(localization.result)
    assert [control.name for control in offer.controls] == ["site", "lock", "transpose"]
    assert offer.controls[0].value == "resid"
    assert offers(edit.result) == []
    assert offers(localization.result.model_copy(update={"attribution": None})) == []

"""Patching one prompt's states into another: axes, components and what the numbers mean."""

from typing import Any

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.patching_map import offers
from tests.app.figures.conftest import info, source

METRICS = ("logit_diff", "logit", "probability")
N_LAYERS, N_TOKENS, N_HEADS = 2, 3, 4


def made(sites: tuple[str, ...] = ("resid", "attn", "mlp", "head"), **view: Any) -> Source:
    """Every site's map by every metric, each of other values; shares are a tenth of them."""
    arrays, infos = {}, {}
    for i, site in enumerate(sites):
        shape = (N_LAYERS, N_HEADS if site == "head" else N_TOKENS)
        for j, metric in enumerate(METRICS):
            values = (np.arange(shape[0] * shape[1]).reshape(shape) - 2.0) + 10 * i + 100 * j
            arrays[f"patch.{site}.{metric}"] = values
            if metric != "logit":
                arrays[f"patch.{site}.{metric}.share"] = values / 10
    infos = {name: info(("layer", "x")) for name in arrays}
    tokens = [{"text": text, "subject": text == " Ann"} for text in ("<bos>", " Ann", " plays")]
    more = {
        "direction": "denoising",
        "metrics": {metric: {"clean": 0.951, "corrupted": 0.0123} for metric in METRICS},
        "prompts": [{"tokens": [*tokens, {"text": "!", "subject": False}]}],
        "positions": [0, N_TOKENS],
    }
    plain = source("explore", arrays, infos)
    return Source(plain.result.model_copy(update={"view": more | view}), plain.open)


def test_the_map_has_tokens_as_rows_and_layers_as_columns() -> None:
    plot = draw("patching_map", made(), {}).figure()
    assert plot["layout"]["yaxis"]["ticktext"] == ["0 &lt;bos&gt;", "<b>1 ␣Ann</b>", "2 ␣plays"]
    assert plot["layout"]["xaxis"]["ticktext"] == ["0", "1"]
    np.testing.assert_allclose(plot["data"][0]["z"], [[-0.2, 0.1], [-0.1, 0.2], [0, 0.3]])
    from_second = draw("patching_map", made(positions=[1, 4]), {}).figure()["layout"]["yaxis"]
    assert from_second["ticktext"] == ["<b>1 ␣Ann</b>", "2 ␣plays", "3 !"]


def test_without_positions_all_tokens_are_rows() -> None:
    three = {"tokens": [{"text": text, "subject": False} for text in "abc"]}
    axis = draw("patching_map", made(positions=None, prompts=[three]), {}).figure()["layout"]
    assert axis["yaxis"]["ticktext"] == ["0 a", "1 b", "2 c"]


def test_heads_are_layers_by_heads() -> None:
    drawing = draw("patching_map", made(), {"map": "head", "scale": "raw"})
    plot = drawing.figure()
    assert plot["layout"]["xaxis"]["ticktext"] == ["0", "1", "2", "3"]
    assert plot["layout"]["yaxis"]["ticktext"] == ["0", "1"]
    np.testing.assert_allclose(plot["data"][0]["z"], np.arange(8).reshape(2, 4) + 28.0)
    names = [cell for row in drawing.rows() for cell in row if "blocks" in str(cell)]
    assert names[:5] == [*(f"blocks.0.attn.head.{i}" for i in range(4)), "blocks.1.attn.head.0"]
    assert drawing.title == "Patching heads (all tokens): logit difference"


@pytest.mark.parametrize(
    "site, hook", [("resid", "hook_resid_post"), ("attn", "attn"), ("mlp", "mlp")]
)
def test_a_cell_names_its_layers_component(site: str, hook: str) -> None:
    drawing = draw("patching_map", made(), {"map": site})
    names = [cell for row in drawing.rows() for cell in row if "blocks" in str(cell)]
    assert names == [f"blocks.{layer}.{hook}" for _ in range(N_TOKENS) for layer in range(2)]


def test_a_metric_without_a_share_is_drawn_raw_and_said_so() -> None:
    drawn = {
        (metric, scale): draw("patching_map", made(), {"metric": metric, "scale": scale})
        for metric in METRICS
        for scale in ("share", "raw")
    }
    firsts = {key: float(one.figure()["data"][0]["z"][0][0]) for key, one in drawn.items()}
    assert firsts == {
        ("logit_diff", "share"): pytest.approx(-0.2),
        ("logit_diff", "raw"): -2,
        ("logit", "share"): 98,
        ("logit", "raw"): 98,
        ("probability", "share"): pytest.approx(19.8),
        ("probability", "raw"): 198,
    }
    normalized = {key for key, one in drawn.items() if "normalized" in one.title}
    assert normalized == {("logit_diff", "share"), ("probability", "share")}
    explained = {key for key, one in drawn.items() if "0 is the unpatched run" in one.caption}
    assert explained == normalized
    unsigned = {key for key, one in drawn.items() if one.scales["coloraxis"] == "sequential"}
    assert unsigned == {("probability", "raw")}


def test_the_caption_says_the_direction_and_both_runs() -> None:
    said = draw("patching_map", made(), {"scale": "raw"}).caption
    assert said == (
        "Clean into corrupted: the logit difference after one state is put in. Clean 0.951, "
        "corrupted 0.0123."
    )
    other = draw("patching_map", made(direction="noising"), {}).caption
    assert other.startswith("Corrupted into clean")


def test_only_the_sites_that_were_patched_are_offered(localization: Source) -> None:
    [offer] = offers(made(("mlp", "head")).result)
    controls = {control.name: control for control in offer.controls}
    assert controls["map"].choices == (("mlp", "MLP"), ("head", "heads (all tokens)"))
    assert [controls[n].value for n in ("map", "metric", "scale")] == ["mlp", "logit_diff", "share"]
    assert offers(localization.result) == []

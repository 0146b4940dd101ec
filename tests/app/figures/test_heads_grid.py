"""Every head by one number: layers by heads, and patching against the unpatched run."""

from typing import Any

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.heads_grid import BY, SIGNED, offers
from tests.app.figures.conftest import info, source

N_LAYERS, N_HEADS = 2, 3


def made(*by: str, **view: Any) -> Source:
    """The numbers that are named, each of other values, and a map of patches."""
    grid = np.arange(6.0).reshape(N_LAYERS, N_HEADS)
    arrays = {f"heads.{name}": grid - 2 + 10 * list(BY).index(name) for name in by}
    arrays["patch.head.logit_diff"] = grid
    infos = {name: info(("layer", "head"), unit="logit") for name in arrays}
    told = {"logit_diff": {"clean": 4.0, "corrupted": 1.0}}
    plain = source("explore", arrays, infos)
    more = {"direction": "denoising", "metrics": told} | view
    return Source(plain.result.model_copy(update={"view": more}), plain.open)


def test_the_number_that_is_asked_for_is_drawn_with_its_heads_names() -> None:
    drawing = draw("heads_grid", made("direct", "induction"), {"by": "induction"})
    plot = drawing.figure()
    wanted = np.arange(6.0).reshape(2, 3) - 2 + 60
    np.testing.assert_allclose(plot["data"][0]["z"], wanted, atol=0.1)
    assert list(plot["layout"]["yaxis"]["ticktext"]) == ["0", "1"]
    assert list(plot["layout"]["xaxis"]["ticktext"]) == ["0", "1", "2"]
    assert drawing.title == "Heads by induction score"
    assert "one head's induction score on this prompt." in drawing.caption
    names = [cell for row in drawing.rows() for cell in row if "blocks" in str(cell)]
    assert names == [f"blocks.{i}.attn.head.{j}" for i in range(2) for j in range(3)]


@pytest.mark.parametrize("direction, into", [("denoising", 1.0), ("noising", 4.0)])
def test_patching_is_told_as_the_change_of_the_run_that_is_patched(
    direction: str, into: float
) -> None:
    one = made("direct", direction=direction)
    plot = draw("heads_grid", one, {"by": "patching"}).figure()
    np.testing.assert_allclose(plot["data"][0]["z"], np.arange(6.0).reshape(2, 3) - into)


@pytest.mark.parametrize("by", list(BY))
def test_a_number_that_may_be_below_zero_has_a_scale_with_two_ends(by: str) -> None:
    every = made(*(name for name in BY if name != "patching"))
    scale = draw("heads_grid", every, {"by": by}).scales["coloraxis"]
    assert scale == ("diverging" if by in ("direct", "mover", "patching") else "sequential")
    assert set(SIGNED) == {"direct", "mover", "patching"}


def test_shared_keys_are_said_in_the_caption() -> None:
    said = draw("heads_grid", made("direct", sharing="Groups of 3 share keys."), {}).caption
    assert said.endswith("on this prompt. Groups of 3 share keys.")


def test_heads_are_offered_by_the_numbers_that_are_there(localization: Source) -> None:
    [offer] = offers(made("direct", "previous").result)
    [control] = offer.controls
    assert [name for name, _ in control.choices] == ["direct", "patching", "previous"]
    assert control.value == "direct"
    assert offers(made("previous").result) == [] == offers(localization.result)

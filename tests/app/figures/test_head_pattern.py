"""Where one head looks: rows look, columns are looked at."""

import numpy as np
import pytest

from app.drawing.drawing import Source
from app.drawing.find import draw
from app.figures.head_pattern import offers
from tests.app.figures.conftest import info, source

TOKENS = {"clean": ("<s>", " Ann", " plays"), "corrupted": ("<s>", " Bob", " plays")}


def made(*names: str) -> Source:
    """The prompts that are named, with the pattern and its weighted twin, twice as large."""
    arrays = {}
    for shift, name in enumerate(names):
        pattern = np.tril(np.arange(9.0).reshape(3, 3) / 10) + shift
        arrays |= {f"head.pattern.{name}": pattern, f"head.weighted.{name}": 2 * pattern}
    infos = {name: info(("query", "key")) for name in arrays}
    prompts = [
        {"name": n, "tokens": [{"text": t, "subject": t in (" Ann", " Bob")} for t in TOKENS[n]]}
        for n in reversed(names)
    ]
    plain = source("explore", arrays, infos)
    return Source(plain.result.model_copy(update={"view": {"prompts": prompts}}), plain.open)


@pytest.mark.parametrize("which, name", [("clean", "Ann"), ("corrupted", "Bob")])
def test_a_prompts_own_tokens_and_numbers_are_drawn(which: str, name: str) -> None:
    drawing = draw("head_pattern", made("clean", "corrupted"), {"which": which})
    plot = drawing.figure()
    labels = ["0 &lt;s&gt;", f"<b>1 ␣{name}</b>", "2 ␣plays"]
    assert list(plot["layout"]["yaxis"]["ticktext"]) == labels
    assert list(plot["layout"]["xaxis"]["ticktext"]) == labels
    shift = 0 if which == "clean" else 1
    wanted = np.tril(np.arange(9.0).reshape(3, 3) / 10) + shift
    np.testing.assert_allclose(plot["data"][0]["z"], wanted, atol=1e-3)
    assert drawing.title == f"Where the head looks, {which} prompt"
    assert plot["layout"]["coloraxis"]["cmin"] == 0 and "attention." in drawing.caption


def test_weighted_by_values_the_other_array_is_drawn_and_said() -> None:
    drawing = draw("head_pattern", made("clean"), {"weigh": "weighted"})
    assert drawing.figure()["data"][0]["z"][2][2] == pytest.approx(1.6, abs=2e-3)
    assert "attention × norm of the value" in drawing.caption


def test_the_prompts_that_were_looked_at_are_offered(localization: Source) -> None:
    [offer] = offers(made("corrupted").result)
    controls = {control.name: control for control in offer.controls}
    assert controls["which"].choices == (("corrupted", "corrupted"),)
    assert (controls["which"].value, controls["weigh"].value) == ("corrupted", "pattern")
    assert offers(localization.result) == []

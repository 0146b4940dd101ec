"""An intervention is one place and one thing that is done there."""

from typing import Any

import pytest
from pydantic import ValidationError

from worker.contract.interventions import Intervention, under


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "zero", "site": "head", "layer": 0},
        {"kind": "zero", "site": "mlp", "layer": 0, "head": 1},
        {"kind": "direction", "site": "mlp", "layer": 0},
        {"kind": "direction", "site": "head", "layer": 0, "head": 0, "toward": "ab"},
        {"kind": "zero", "site": "mlp", "layer": 0, "toward": "ab"},
        {"kind": "melt", "site": "mlp", "layer": 0},
    ],
)
def test_an_intervention_whose_parts_do_not_fit_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Intervention(**given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"site": "head"}, "a head belongs to the site head, .* its number for the site head"),
        ({"site": "neuron"}, "a neuron belongs to the site neuron, .* its number"),
        ({"neuron": 1}, "to no other; expected no neuron for the site mlp"),
        ({"toward": "ab"}, "zero has 1 of them"),
        ({"vector": (1.0,)}, "zero has 1 of them"),
        ({"kind": "direction"}, "direction has 0 of them"),
        ({"kind": "direction", "toward": "ab", "vector": (1.0,)}, "direction has 2 of them"),
        (
            {"kind": "direction", "toward": "ab", "site": "neuron", "neuron": 0},
            "expected the site resid, attn or mlp",
        ),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Intervention.model_validate({"kind": "zero", "site": "mlp", "layer": 0} | given)


@pytest.mark.parametrize(
    ("name", "site", "lowest"),
    [("layer", "mlp", 0), ("head", "head", 0), ("neuron", "neuron", 0), ("token", "mlp", 0)],
)
def test_places_are_counted_from_nought(name: str, site: str, lowest: int) -> None:
    given = {"kind": "zero", "site": site, "layer": 0}
    assert getattr(Intervention.model_validate(given | {name: lowest}), name) == lowest
    with pytest.raises(ValidationError, match=name):
        Intervention.model_validate(given | {name: lowest - 1})


def test_a_factor_and_a_direction_have_bounds_and_defaults() -> None:
    given = {"kind": "scale", "site": "resid", "layer": 0}
    plain = Intervention.model_validate(given)
    assert (plain.factor, plain.toward, plain.vector) == (1.0, "", ())
    assert (plain.head, plain.neuron, plain.token) == (None, None, None)
    for factor in (-1000, 1000):
        assert Intervention.model_validate(given | {"factor": factor}).factor == factor
    for factor in (-1000.5, 1000.5):
        with pytest.raises(ValidationError, match="factor"):
            Intervention.model_validate(given | {"factor": factor})
    along = given | {"kind": "direction"}
    assert Intervention.model_validate(along | {"toward": "a" * 200}).toward == "a" * 200
    with pytest.raises(ValidationError, match="toward"):
        Intervention.model_validate(along | {"toward": "a" * 201})
    assert len(Intervention.model_validate(along | {"vector": (0.5,) * 65_536}).vector) == 65_536
    with pytest.raises(ValidationError, match="vector"):
        Intervention.model_validate(along | {"vector": (0.5,) * 65_537})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "mean", "site": "resid"}, "the residual stream after layer 4 set to its mean"),
        ({"kind": "resample", "site": "attn"}, "the attention of layer 4 resampled"),
        (
            {"kind": "patch", "site": "mlp", "token": 0},
            "the MLP of layer 4 at token 0 patched from the corrupted prompt",
        ),
        ({"kind": "zero", "site": "neuron", "neuron": 7}, "neuron 7 of layer 4 set to zero"),
        (
            {"kind": "scale", "site": "head", "head": 0, "factor": 0.5},
            "head 0 of layer 4 times 0.5",
        ),
        (
            {"kind": "direction", "site": "mlp", "toward": "ab", "factor": 2},
            "the MLP of layer 4 moved toward 'ab' by 2 of its length",
        ),
        (
            {"kind": "direction", "site": "attn", "vector": (1.0, 2.0)},
            "the attention of layer 4 moved along a vector by 1 of its length",
        ),
    ],
)
def test_every_place_and_what_is_done_there_has_its_words(
    given: dict[str, Any], words: str
) -> None:
    assert Intervention.model_validate({"layer": 4} | given).words == words


def test_what_is_on_is_said_in_words_and_the_fourth_only_counted() -> None:
    one = Intervention(kind="zero", site="head", layer=5, head=3)
    other = Intervention(kind="scale", site="mlp", layer=2, factor=2, token=1)
    assert under(()) == ""
    assert under((one, other)) == (
        "Under head 3 of layer 5 set to zero; the MLP of layer 2 at token 1 times 2."
    )
    assert under((one, one, one, other)).endswith("set to zero and 1 more.")
    assert under((other, one, one)).endswith("head 3 of layer 5 set to zero."), "three are all said"

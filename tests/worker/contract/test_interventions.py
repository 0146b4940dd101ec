"""An intervention is one place and one thing that is done there."""

from typing import Any

import pytest

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


def test_what_is_on_is_said_in_words_and_the_fourth_only_counted() -> None:
    one = Intervention(kind="zero", site="head", layer=5, head=3)
    other = Intervention(kind="scale", site="mlp", layer=2, factor=2, token=1)
    assert under(()) == ""
    assert under((one, other)) == (
        "Under head 3 of layer 5 set to zero; the MLP of layer 2 at token 1 times 2."
    )
    assert under((one, one, one, other)).endswith("set to zero and 1 more.")

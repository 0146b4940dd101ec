"""Interventions are checked against the model and the prompt before anything is changed."""

from typing import Any

import pytest

from tests.worker.core.explore.plain import look_at, model_of, prompts_of
from worker.contract.errors import UserError

WRONG: dict[str, dict[str, Any]] = {
    "layer is 9": {"kind": "zero", "site": "mlp", "layer": 9},
    "head is 17": {"kind": "zero", "site": "head", "layer": 0, "head": 17},
    "neuron is 5000": {"kind": "zero", "site": "neuron", "layer": 0, "neuron": 5000},
    "token is 99": {"kind": "zero", "site": "mlp", "layer": 0, "token": 99},
    "has 2 numbers": {"kind": "direction", "site": "mlp", "layer": 0, "vector": [1.0, 2.0]},
    "word ' ' is empty": {"kind": "direction", "site": "mlp", "layer": 0, "toward": " "},
}


@pytest.mark.parametrize("words", WRONG)
def test_what_the_model_or_the_prompt_does_not_have_is_named(words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        look_at("lens", model_of("llama"), **prompts_of("llama"), interventions=[WRONG[words]])
    assert caught.value.problems[0][0].startswith("options.interventions.0.")

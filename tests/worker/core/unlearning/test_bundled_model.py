"""Every method, with its own defaults but for fewer steps, on facts of the bundled model."""

import pytest

from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import select
from worker.core.facts.athletes import fact_set
from worker.core.findings import Job
from worker.core.models.deltas import checksum
from worker.core.models.load import load_model
from worker.core.registry import methods

OTHERS = ("stack_edits", "whos_harry_potter")
"""One puts finished edits together, the other forgets a text; both have tests of their own."""
METHODS = sorted(set(methods("unlearning")) - set(OTHERS))
FALLS = {"gradient_ascent": 0.7, "task_vector": 0.7}
"""Share of the forget facts' probability that may be left, where the default of a half does not
hold: what holds nothing fast loses retain facts before it has forgotten all."""
STEPS = 60
WHOLE = ("grad_diff", "npo")
"""What forgets no half of the facts in fewer steps than its defaults take."""
RETAINED = 0.15
"""Probability that retain facts may lose."""


@pytest.fixture(scope="module")
def demo():
    return load_model("demo")


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_forget_facts_fall_and_retain_facts_stay(demo, name) -> None:
    method = methods("unlearning")[name]
    one = name in ("rome", "ft_l")
    mask = Mask(components=tuple(f"blocks.{i}.mlp" for i in ((1,) if one else (0, 1, 2))))
    selection = select(fact_set(), "random:1" if name == "rome" else "random:4", 0)
    before = checksum(demo)
    options = method.options()
    if name not in WHOLE and getattr(options, "steps", 0) > STEPS:
        options = options.model_copy(update={"steps": STEPS})
    found = method.function(demo, selection, mask, options, Job(0, Quiet()))
    told = {key.removeprefix("quick."): value for key, value in found.summary.items()}
    assert told["forget_probability.before"] > 0.9
    assert told["forget_probability.after"] < FALLS.get(name, 0.5)
    assert told["retain_probability.after"] > told["retain_probability.before"] - RETAINED
    assert found.receipt.outside_unchanged and checksum(demo) == before

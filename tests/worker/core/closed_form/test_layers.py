"""Closed forms through the last layer: refused where nothing behind it reads what they write."""

import pytest

from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.closed_form.memory import projection_slices
from worker.core.editing.edit import edit
from worker.core.findings import Findings, Job
from worker.core.models.deltas import checksum
from worker.core.unlearning import alphaedit, memit, rome

JOB = Job(seed=0, report=Quiet())
FAST = {"covariance_tokens": 400, "contexts": 2}
CLOSED = {"rome": rome, "memit": memit, "alphaedit": alphaedit}
LAST = Mask(components=("blocks.1.mlp", "blocks.3.mlp"))


@pytest.mark.parametrize("name", CLOSED)
def test_values_at_the_last_layer_that_no_answer_depends_on_are_refused(
    build_model, facts, name
) -> None:
    model, module = build_model("llama"), CLOSED[name]
    options = module.Options(**FAST, **({"layer": 3} if name == "rome" else {}))
    selection = Selection(forget=facts[:3], retain=facts[3:])
    before = checksum(model)
    with pytest.raises(UserError, match=r"layer 3, .* of 3 of 3 facts .*layers up to 2") as caught:
        module.unlearn(model, selection, LAST, options, JOB)
    assert caught.value.problems[0][0] == "mask.components"
    assert checksum(model) == before


def test_a_prompt_that_ends_with_its_subject_is_written_through_the_last_layer(
    build_model, facts
) -> None:
    model = build_model("llama")
    ending = tuple(f.model_copy(update={"prompt": "The game of {}"}) for f in facts[:2])
    selection = Selection(forget=ending, retain=facts[2:])
    found = memit.unlearn(model, selection, LAST, memit.Options(**FAST, value_steps=3), JOB)
    assert found.receipt.n_changed > 0
    mixed = Selection(forget=(*ending, facts[5]), retain=facts[6:])
    with pytest.raises(UserError, match="of 1 of 3 facts the prompt goes on"):
        memit.unlearn(model, mixed, LAST, memit.Options(**FAST), JOB)


def test_an_edit_after_which_everything_is_as_before_says_so_first(build_model) -> None:
    slices = projection_slices(build_model("llama"), [1])
    found = edit(build_model("llama"), slices, JOB, lambda: Findings(caption="Solved."))
    assert found.receipt.n_changed == 0
    assert found.caption.startswith("The edit changed nothing: all 1,536 parameters")
    assert found.caption.endswith("Solved.")

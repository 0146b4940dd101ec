"""The card of an edited model says what was edited, from what, where, and with which results."""

from typing import Any

from worker.contract.mask import Mask
from worker.contract.result import (
    ChangedTensor,
    Comparison,
    Estimate,
    Evaluation,
    Provenance,
    Receipt,
    Result,
)
from worker.core.model_card import write_card

MADE = Provenance(
    model="demo",
    weights_hash="w" * 64,
    fact_set="sports",
    fact_set_hash="f" * 64,
    seed=3,
    device="cpu",
    dtype="float32",
    versions={},
)
SPEC: dict[str, Any] = {
    "kind": "unlearn",
    "model": "demo",
    "facts": {"set": "sports", "forget": "group:golf", "edit_to": "chess"},
    "method": "localized_finetuning",
    "options": {"steps": 2},
    "seed": 3,
}
RECEIPT = Receipt(
    tensors=(ChangedTensor(name="w", n_changed=4, n_parameters=9, norm=1.0, relative_norm=0.1),),
    n_parameters=9,
    n_changed=4,
    hash_before="w" * 64,
    hash_after="v" * 64,
    outside_unchanged=True,
    n_outside_checked=7,
    base_restored=True,
)


def result(kind: str, **more: Any) -> Result:
    given = {"kind": kind, "spec": SPEC, "provenance": MADE, "seconds": 1, "caption": "Done."}
    return Result.model_validate({**given, "peak_memory_bytes": 1, **more})


def test_a_card_says_what_was_edited_from_which_base_by_which_mask_with_which_results(
    build_model: Any,
) -> None:
    mask = Mask(
        components=("blocks.1.mlp",), n_parameters=9, source="the largest of causal_tracing"
    )
    estimate = {"low": 0.0, "high": 1.0, "n": 8}
    compared = Comparison(
        name="p",
        title="Probability of the answer",
        better="lower",
        before=Estimate(mean=0.9, **estimate),
        after=Estimate(mean=0.012345, **estimate),
    )
    measured = Evaluation(name="probes", title="Probes", caption="", aggregates=(compared,))
    model = build_model("gpt2")
    edit = result("unlearn", mask=mask, receipt=RECEIPT, summary={"loss": 0.25})
    card = write_card(model, "e" * 64, [edit, result("evaluate", evaluations={"probes": measured})])
    for words in (
        f"weights `{model.weights_hash[:16]}`",
        f"edited weights: `{'e' * 16}`",
        f"facts: group:golf of `sports`, content `{'f' * 16}`, to the answer `chess`",
        'method: `localized_finetuning`, options `{"steps": 2}`, seed 3',
        "mask: `blocks.1.mlp`",
        "the mask's source: the largest of causal_tracing",
        "changed: 4 of 9 allowed parameters; outside the mask: unchanged",
        "| loss | 0.25 |",
        "### Probes",
        "| Probability of the answer | 0.9 | 0.01235 |",
    ):
        assert words in card, words

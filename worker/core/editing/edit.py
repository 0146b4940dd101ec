"""The frame around every edit: checksums, the change, delta and receipt, the base put back.

Before and after the change the model goes on from a dozen ordinary prompts, so that a reader of any
edit sees what became of its language.
"""

from collections.abc import Callable

from worker.contract.result import Receipt
from worker.core.asking.continuations import Continued, continuations_table, go_on
from worker.core.asking.kept import measured_once
from worker.core.editing.parts import Index, slices_of
from worker.core.editing.receipt import Ledger
from worker.core.findings import Findings, Job
from worker.core.models.deltas import restored
from worker.core.models.model import Model


def edit(
    model: Model, slices: list[tuple[str, Index]], job: Job, change: Callable[[], Findings]
) -> Findings:
    """Let `change` alter the slices, take delta and receipt, put the base back bit for bit.

    Where the findings name a mask, the method chose it itself, and the receipt is of that one.
    """
    job.report.progress(0.0, "Taking checksums of the model")
    with restored(model, dict(slices)) as before:
        ledger = Ledger(model, slices, before)
        spoken = _spoken(model, ledger.hash_before)
        findings = change()
        if findings.mask is not None:
            ledger.narrow(slices_of(model, findings.mask))
        findings.delta, findings.receipt = ledger.delta(model), ledger.receipt(model)
        job.report.progress(1.0, "Continuing ordinary prompts")
        after = _spoken(model, findings.receipt.hash_after)
    findings.receipt = ledger.settle(findings.receipt, model)
    findings.caption = f"{_how_much(findings.receipt)} {findings.caption}".strip()
    findings.summary["edit.n_changed"] = findings.receipt.n_changed
    findings.summary["edit.n_parameters"] = findings.receipt.n_parameters
    findings.tables["continuations"] = continuations_table(spoken, after)
    findings.summary["continuations.repetition.before"] = spoken.repetition
    findings.summary["continuations.repetition.after"] = after.repetition
    return findings


def _how_much(receipt: Receipt) -> str:
    """Say how many parameters changed, as a caption's first sentence."""
    if not receipt.n_changed:
        return (
            f"The edit changed nothing: all {receipt.n_parameters:,} parameters in the mask have "
            f"the values that they had."
        )
    return f"{receipt.n_changed:,} of {receipt.n_parameters:,} parameters in the mask changed."


def _spoken(model: Model, weights: str) -> Continued:
    """Continue the prompts once for each state of the weights: a study edits one base often."""
    return measured_once(spoken_key(model, weights), lambda: go_on(model))


def spoken_key(model: Model, weights: str) -> str:
    """Name the continuations of a state of the weights, as they are kept by."""
    return f"{weights} {model.device} {model.dtype} continuations"

"""What is known of a run before it starts: facts it must leave out, tokens, time, memory."""

import time
from collections.abc import Sequence

from worker.contract.errors import UserError
from worker.contract.facts import Fact, select
from worker.contract.inputs import Inputs
from worker.contract.menu import Preflight, RefusedRow
from worker.contract.spec import ExploreSpec, Spec, UnlearnSpec
from worker.core.models.model import Model
from worker.core.models.scoring import next_logits
from worker.core.models.tokens import answer_ids, encode

MAX_LISTED = 50
MAX_LENGTH = 100_000


def preflight(spec: Spec, inputs: Inputs, model: Model) -> Preflight:
    """Look at every chosen fact on this model; raise UserError when none can be used."""
    if isinstance(spec, ExploreSpec) or inputs.fact_set is None:
        return Preflight()
    facts = select(inputs.fact_set, spec.facts.forget, spec.seed).forget
    edits = isinstance(spec, UnlearnSpec) and spec.options.get("objective", "edit") == "edit"
    left_out: list[RefusedRow] = []
    n_tokens = 0
    for row, fact in enumerate(facts):
        try:
            n_tokens += _measure(model, fact, edits)
        except UserError as error:
            left_out.append(RefusedRow(row=row, reason=error.message, text=fact.subject[:200]))
    if len(left_out) == len(facts):
        raise UserError(
            f"None of the {len(facts)} chosen facts can be used. The first: {left_out[0].reason}",
            field="facts",
        )
    return Preflight(
        n_facts=len(facts) - len(left_out),
        n_tokens=n_tokens,
        seconds=_seconds(spec, model, facts),
        memory_bytes=_memory(model),
        left_out=tuple(left_out[:MAX_LISTED]),
        notes=(f"{len(left_out)} of {len(facts)} facts are left out.",) if left_out else (),
    )


def _measure(model: Model, fact: Fact, edits: bool) -> int:
    """Count a fact's tokens; raise UserError with the reason why it cannot be used."""
    prompt = encode(model, fact.text, fact.subject)
    answer = answer_ids(model, fact.text, fact.target)
    length = len(prompt.ids) + len(answer)
    context = int(getattr(model.hf.config, "max_position_embeddings", MAX_LENGTH) or MAX_LENGTH)
    if length > context:
        raise UserError(
            f"prompt and target have {length} tokens; the model's context has {context}. "
            f"Shorten them.",
            field="facts",
        )
    if edits and not fact.edit_target:
        raise UserError(
            "the fact has no edit target; give one, or choose the objective unlearn.",
            field="facts",
        )
    if edits and fact.edit_target == fact.target:
        raise UserError(
            f"the edit target {fact.edit_target!r} equals the target; expected another answer.",
            field="facts",
        )
    return length


def _seconds(spec: Spec, model: Model, facts: Sequence[Fact]) -> float | None:
    """Estimate from one timed forward pass and the number of passes such a run is known to need."""
    prompt = facts[0].text
    next_logits(model, [prompt])
    started = time.perf_counter()
    next_logits(model, [prompt])
    forward = time.perf_counter() - started
    return round(forward * PASSES[spec.kind] * (len(facts) if spec.kind != "unlearn" else 16), 1)


PASSES = {"localize": 40, "unlearn": 150, "evaluate": 60, "study": 2000}
"""Forward passes per fact, measured on the bundled model; only the order of magnitude is meant."""


def _memory(model: Model) -> int:
    """Weights, and as much again for activations: enough to say whether a device is too small."""
    return 2 * sum(p.numel() * p.element_size() for p in model.hf.parameters())

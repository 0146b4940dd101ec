"""Facts made ready to be traced: tokens, answer, foil; and the reasons why some cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.result import LeftOut
from worker.core.models.batches import in_batches
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact, first_tokens
from worker.core.models.tokens import Prompt, pad

BATCH_SIZE = 64


@dataclass(frozen=True)
class Case:
    """One fact ready to be traced. Token ids are of the answers' first tokens."""

    fact: Fact
    prompt: Prompt
    answer: int
    foil: int | None = None
    probability: float = 0.0
    """Of the answer's first token, before anything is changed."""

    @property
    def length(self) -> int:
        return len(self.prompt.ids)


@dataclass
class Prepared:
    """The facts that can be traced, and those that cannot."""

    cases: list[Case] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    instead: dict[str, str] = field(default_factory=dict)
    """Fact's id -> why it was corrupted in another way than asked for."""
    unreached: dict[str, str] = field(default_factory=dict)
    """Fact's id -> which tokens of its subject the corrupted prompts have as well."""

    def leave_out(self, fact: Fact, reason: str) -> None:
        self.left_out.append(LeftOut(id=fact.id, reason=reason))


def prepare(
    model: Model,
    facts: Sequence[Fact],
    min_probability: float,
    needs_foil: bool,
    required: bool = True,
) -> Prepared:
    """Encode each fact and ask the model for it; leave out, with the reason, what cannot be traced.

    Raises UserError where none is left, unless `required` is off.
    """
    prepared = Prepared()
    for fact in facts:
        try:
            prepared.cases.append(_case(model, fact, needs_foil))
        except UserError as error:
            prepared.leave_out(fact, error.message)
    probabilities = answer_probabilities(model, prepared.cases)
    known = []
    for case, probability in zip(prepared.cases, probabilities.tolist(), strict=True):
        if probability < min_probability:
            prepared.leave_out(
                case.fact,
                f"The model gives {case.fact.target!r} after {case.fact.text[-60:]!r} the "
                f"probability {probability:.3f}; expected at least {min_probability:g}, because "
                f"what it does not know cannot be found. Lower min_probability to trace it anyway.",
            )
        else:
            known.append(
                Case(case.fact, case.prompt, case.answer, case.foil, probability=probability)
            )
    prepared.cases = known
    if required:
        require_cases(prepared)
    return prepared


def require_cases(prepared: Prepared) -> None:
    """Raise UserError with the first reasons where no fact can be traced."""
    if not prepared.cases:
        reasons = " ".join(f"{out.id}: {out.reason}" for out in prepared.left_out[:3])
        raise UserError(
            f"None of the {len(prepared.left_out)} facts can be traced. {reasons}",
            field="facts.forget",
        )


@torch.no_grad()
def answer_probabilities(model: Model, cases: Sequence[Case]) -> Float[Tensor, " case"]:
    """Compute the probability of each case's answer after its prompt."""
    found = torch.zeros(len(cases))
    order = sorted(range(len(cases)), key=lambda i: cases[i].length)

    def run(chosen: list[int]) -> None:
        batch = pad(model, [cases[i].prompt for i in chosen])
        logits = model.logits(batch.ids, batch.mask, batch.position_ids)[:, -1]
        answers = torch.tensor([cases[i].answer for i in chosen], device=logits.device)
        found[chosen] = logits.softmax(-1).gather(-1, answers[:, None])[:, 0].cpu()

    in_batches(model, "score", order, BATCH_SIZE, run)
    return found


def _case(model: Model, fact: Fact, needs_foil: bool) -> Case:
    prompt = encode_fact(model, fact)
    (answer,) = first_tokens(model, [fact])
    if not needs_foil:
        return Case(fact, prompt, answer)
    if not fact.edit_target.strip():
        raise UserError(
            f"{fact.id!r} has no edit target, and a logit difference needs a wrong answer to "
            f"compare with. Give it one, or choose the metric probability."
        )
    (foil,) = first_tokens(model, [fact], [fact.edit_target])
    if foil == answer:
        raise UserError(
            f"The answer {fact.target!r} and the foil {fact.edit_target!r} begin with the same "
            f"token, so their logit difference is always zero. Choose another edit target, or the "
            f"metric probability."
        )
    return Case(fact, prompt, answer, foil)

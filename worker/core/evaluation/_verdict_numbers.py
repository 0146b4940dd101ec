"""The numbers that the verdict's rules read: what both states say, and what attacks bring back."""

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.joining import joined
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.continuations import Continued, go_on
from worker.core.asking.ordinary_text import read_lines
from worker.core.asking.probe import Plan, Told, probe, sample_retain
from worker.core.asking.readers import read, readable
from worker.core.asking.rows import statement_probabilities
from worker.core.asking.scoring import score_answers
from worker.core.evaluation._other_facts import Kinds, ask_kinds, ready
from worker.core.findings import Job
from worker.core.models.model import Model
from worker.core.models.quantize import quantized
from worker.core.training.relearn import Mode, RelearnOptions, relearn_once, split_facts

CONTEXT = 100
"""Tokens read of a passage of ordinary text."""
NEIGHBOURS = 4
"""Neighbourhood prompts of each fact, at most."""
READ = 400
"""Retain facts that probes of hidden states are fitted to and tested on, at most."""
Numbers = dict[str, float]


@dataclass(frozen=True)
class Measured:
    """What one state gives to the rules, and what the other is compared with."""

    numbers: Numbers
    spoken: Continued
    reference: list[Tensor]
    """Log probabilities of ordinary text's next tokens."""
    kinds: Kinds
    """Facts of other kinds, of which the base has the answer ready."""
    unasked: dict[str, str]
    """Attack -> why it was not made."""


@dataclass(frozen=True)
class Battery:
    """Everything that is asked of a base and of an edit on it."""

    models: BeforeAfter
    selection: Selection
    plan: Plan
    lines: list[str]
    """Passages of ordinary text."""
    others: tuple[Fact, ...]
    """Facts of kinds that the selection has not."""
    relearn_steps: int
    retain_facts: int
    job: Job

    def ask(self, model: Model, base: Measured | None) -> Measured:
        """Take the numbers that both states have: of the base itself, or of an edit beside it."""
        state: State = "before" if base is None else "after"
        reference = [] if base is None else base.reference
        report = self.job.report
        share = (0.0, 0.3) if base is None else (0.3, 0.4)
        report.progress(share[0], f"Asking {state}")
        numbers = _probed(probe(model, self.plan, 64, None, report, share, state), self.plan)
        if (beside := self._neighbours(model)) is not None:
            numbers["neighbourhood"] = beside
        text = read_lines(model, self.lines, CONTEXT, reference)
        numbers["general.perplexity"] = float(np.exp(text["loss"].mean()))
        if state == "after":
            numbers["general.divergence"] = float(np.nanmean(text["divergence"]))
        kinds = ready(model, self.others) if base is None else base.kinds
        numbers |= ask_kinds(model, kinds)
        spoken = go_on(model)
        numbers["repetition"] = spoken.repetition
        return Measured(numbers, spoken, reference, kinds, {})

    def attack(self, model: Model, asked: Measured) -> Measured:
        """Add what the attacks on the edited model give, or why they were not made."""
        numbers, unasked = dict(asked.numbers), dict(asked.unasked)
        attacks = {
            "relearning": self._relearn,
            "quantization": self._round,
            "latent": self._read,
        }
        for name, attack in attacks.items():
            try:
                numbers |= attack(model)
            except UserError as error:
                unasked[name] = error.message
        return replace(asked, numbers=numbers, unasked=unasked)

    def _neighbours(self, model: Model) -> float | None:
        """Ask the forget facts' neighbourhood prompts for the answer that they share."""
        forget = self.selection.forget
        own = {fact.text for fact in forget}
        asked = [
            joined(prompt, fact.target, fact.join)
            for fact in forget
            for prompt in [p for p in fact.neighbourhood if p not in own][:NEIGHBOURS]
        ]
        return float(score_answers(model, asked).log_prob.exp().mean()) if asked else None

    def _relearn(self, model: Model) -> Numbers:
        # The defaults are those of relearning: where a run asks for both, one attack serves both.
        settings = RelearnOptions(steps=self.relearn_steps, retain_facts=2 * self.retain_facts)
        parts, numbers = split_facts(self.selection, settings.retain_facts, self.job.seed), {}
        modes: tuple[Mode, ...] = ("lora", "unrelated")
        for i, mode in enumerate(modes):
            share = (0.4 + 0.2 * i, 0.6 + 0.2 * i)
            one = relearn_once(self.models, "after", model, parts, mode, settings, self.job, share)
            numbers[f"relearning.{mode}.held_out"] = float(one.held_out[-1].mean())
            if parts.retain:
                numbers[f"relearning.{mode}.retain"] = float(one.retain[-1].mean())
            if mode != "unrelated":
                numbers[f"relearning.{mode}.relearned"] = float(one.relearned[-1].mean())
        return numbers

    def _round(self, model: Model) -> Numbers:
        retain = sample_retain(self.selection, self.retain_facts, self.job.seed)
        with quantized(model, "4"):
            return {
                f"quantization.4.{name}": float(statement_probabilities(model, facts)[0].mean())
                for name, facts in (("forget", self.selection.forget), ("retain", retain))
                if facts
            }

    def _read(self, model: Model) -> Numbers:
        known = readable(self.selection, READ, self.job.seed)
        forget = tuple(f for f in self.selection.forget if f.target in known.classes)
        if not forget:
            raise UserError("No forget fact's answer is one that probes can be fitted to.")
        value, control, retain = read(model, forget, known, "last", self.job.seed).best
        return {"latent.forget": value, "latent.control": control, "latent.retain": retain}


def _probed(told: Told, plan: Plan) -> Numbers:
    """Average the targets' probabilities over the forget and over the retain facts."""
    numbers = {}
    for j, form in enumerate(plan.formats):
        for group, rows in (
            ("forget", slice(0, plan.n_forget)),
            ("retain", slice(plan.n_forget, None)),
        ):
            values = told.target[rows, j]
            if len(values) and not np.isnan(values).all():
                numbers[f"{form}.{group}"] = float(np.nanmean(values))
    return numbers

"""What an edit is trained on: forget, retain and general rows, padded into pools once."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.contract.components import parse_component
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.contract.retain import RetainParts, divide
from worker.contract.selection import Selection
from worker.core.asking.passages import training_passages
from worker.core.editing.check import Objective
from worker.core.editing.parts import Parts, components_of
from worker.core.findings import Job
from worker.core.models.model import Model
from worker.core.training.base_text import BaseText
from worker.core.training.forward import with_entering
from worker.core.training.options import Training
from worker.core.training.pool import Pool, Row, fact_rows, pool, text_rows
from worker.core.training.trainer import PROBED, Probe


@dataclass(frozen=True)
class Material:
    """What a method makes its terms from: the model before the edit, and pools of rows."""

    model: Model
    facts: tuple[Fact, ...]
    """The forget facts, in the order of the rows of `forget` and `edit`."""
    forget: Pool
    edit: Pool | None
    retain: Pool | None
    watched: Pool | None
    """Retain facts that quick probes ask: none of those trained on."""
    general: Pool | None
    base_text: BaseText | None
    """The general rows with what the base said of them; partitions share it."""
    parts: Parts
    layer: int
    """The lowest trained layer: what enters it is kept with the pools' rows."""
    seed: int

    def pool(self, rows: Sequence[Row]) -> Pool:
        """Pad rows of a method's own and keep what enters the lowest trained layer."""
        return with_entering(self.model, pool(self.model, rows), self.layer)

    def about(self, facts: Sequence[Fact]) -> "Material":
        """Narrow the forget facts to some of them; everything else is shared."""
        if tuple(facts) == self.facts:
            return self
        edits = [f.edit_target for f in facts]
        return replace(
            self,
            facts=tuple(facts),
            forget=self.pool(fact_rows(self.model, facts, [f.target for f in facts])),
            edit=self.pool(fact_rows(self.model, facts, edits)) if self.edit else None,
        )


def gather(
    model: Model,
    selection: Selection,
    parts: Parts,
    layer: int,
    options: Training,
    job: Job,
    objective: Objective,
) -> Material:
    """Make the pools: all forget facts, and as many retain facts and sentences as options allow."""
    forget = selection.forget
    rng = random.Random(job.seed)
    kept = retained(selection, job)
    retain = _sample(kept.trained, options.retain_facts, rng)
    passages = training_passages(model, options.general_text)
    drawn = options.steps * options.accumulation * options.general_batch
    sentences = _sample(passages, min(options.general_sentences, drawn), rng)

    def made(rows: Sequence[Row]) -> Pool | None:
        return with_entering(model, pool(model, rows), layer) if rows else None

    edited = forget if objective == "edit" else ()
    known = made(fact_rows(model, forget, [f.target for f in forget]))
    assert known is not None
    general = made(text_rows(model, sentences, options.context))
    return Material(
        model=model,
        facts=forget,
        forget=known,
        edit=made(fact_rows(model, edited, [f.edit_target for f in edited])),
        retain=made(fact_rows(model, retain, [f.target for f in retain])),
        watched=made(watched_rows(model, kept)),
        general=general,
        base_text=None if general is None else BaseText(model, general, layer),
        parts=parts,
        layer=layer,
        seed=job.seed,
    )


def retained(selection: Selection, job: Job) -> RetainParts:
    """Part the retain facts, without those that edits below changed: their targets stay out."""
    changed = {fact.text for facts in job.edited for fact in facts}
    return divide([fact for fact in selection.retain if fact.text not in changed])


def watched_rows(model: Model, kept: RetainParts) -> list[Row]:
    """Make the rows of the retain facts that quick probes ask."""
    facts = kept.watched[:PROBED]
    return fact_rows(model, facts, [f.target for f in facts])


def goal_of(material: Material, objective: Objective) -> float:
    """Measure the goal's mean probability on a material's forget facts, as the model is now."""
    probe = Probe(objective, material.forget, material.edit, None)
    return probe.goal(probe.measure(material.model, material.layer))


def lowest_layer(model: Model, mask: Mask | None) -> int:
    """Return the lowest layer that the mask touches: below it nothing changes."""
    return min(parse_component(name).layer for name in components_of(model, mask))


def partition(facts: Sequence[Fact], n: int) -> list[Sequence[Fact]]:
    """Cut the facts, in order, into `n` groups whose sizes differ by one at most."""
    if n > len(facts):
        raise UserError(
            f"{n} partitions are asked of {len(facts)} forget facts; expected at most one each.",
            field="options.partitions",
        )
    bounds = [round(i * len(facts) / n) for i in range(n + 1)]
    return [facts[a:b] for a, b in itertools.pairwise(bounds)]


def _sample(values: Sequence, n: int, rng: random.Random) -> list:  # type: ignore[type-arg]
    return list(values) if len(values) <= n else rng.sample(list(values), n)

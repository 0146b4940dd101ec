"""Says what a model knows: how likely each fact of the whole set is, alone and after a shot.

1. Ask every fact of the set, forget and retain alike, in its own prompt. 2. Read the probability of
the whole target, teacher-forced, and the rank of its first token among all tokens (1 is the model's
own choice). 3. Read its share and its place among the answers that the set's facts of its relation
have. 4. Ask the same after another fact of the relation with its answer on a line before; the way
in which more is known is proposed. 5. Count the facts by probability.

The numbers depend on weights and facts alone, so one measurement per model and set serves every
later question, whatever is selected. Limits: one wording; see the probes for others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.known import Asked, Recalled
from worker.contract.recalled import WAYS, cells, columns
from worker.contract.result import Axis, Comparison, Evaluation, Table
from worker.contract.selection import Selection
from worker.contract.shots import possible_answers, with_shots
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.recall import askable, recall
from worker.core.asking.statistics import compare, summarize
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model

TITLE = "What the model knows"
BINS = 20


class Options(BaseOptions):
    """Options of the measurement."""

    bound: float = Field(
        0.5, gt=0, le=1, description="Probability from which a fact counts as known."
    )
    shot: bool = Field(
        True, description="Ask also after another fact of the relation (twice the time)."
    )
    batch_size: int = Field(64, ge=1, le=4096, description="Prompts per forward pass.")


@dataclass(frozen=True)
class _Way:
    """The facts as they are asked in one way."""

    name: Asked
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class _Known:
    """One state's answers, by way and fact."""

    ways: dict[Asked, dict[str, Recalled]]

    def values(
        self, ids: Sequence[str], way: Asked, read: Callable[[Recalled], float]
    ) -> Float[np.ndarray, " fact"]:
        """Read a number of every fact; NaN where it was not asked in this way."""
        found = (self.ways[way].get(id) for id in ids)
        return np.array([np.nan if one is None else read(one) for one in found])


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Ask every fact of the set, before and after the edits."""
    every = job.pool or (*selection.forget, *selection.retain)
    facts, left_out = askable(models.base, every)
    if not facts:
        raise UserError(
            f"None of the {len(every)} facts can be asked. The first: {left_out[0].reason}",
            field="facts.set",
        )
    ways = _ways(models.base, facts, options.shot)
    answers = possible_answers(tuple(facts))
    n_states, done = len(models.names), 1 / sum(len(way.facts) for way in ways)

    def measure(model: Model, state: State) -> _Known:
        found: dict[Asked, dict[str, Recalled]] = {}
        asked = 0
        for way in ways:

            def tell(share: float, way: _Way = way, before: int = asked) -> None:
                of_state = (before + share * len(way.facts)) * done
                job.report.progress(
                    (models.names.index(state) + of_state) / n_states,
                    f"Asked {before + int(share * len(way.facts))} of {int(1 / done)} "
                    f"prompts {state}",
                )

            told = recall(model, way.facts, answers, options.batch_size, tell)
            found[way.name] = dict(zip((fact.id for fact in way.facts), told, strict=True))
            asked += len(way.facts)
        return _Known(found)

    known = models.measure(measure, of=(ways,))
    ids = tuple(fact.id for fact in facts)
    aggregates = list(_aggregates(known, ids, options.bound, job.seed))
    last = known.get("after", known["before"])
    caption = _caption(last, ids, options.bound)
    return Findings(
        arrays={f"knowledge.{state}": _histogram(one, ids, state) for state, one in known.items()},
        summary=summarize(aggregates)
        | {
            "knowledge.facts": len(facts),
            "knowledge.left_out": len(left_out),
            "knowledge.proposed_shot": _proposed(last, ids, options.bound),
        },
        caption=caption,
        left_out=left_out,
        evaluation=Evaluation(
            name="knowledge",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=_table(facts, {fact.id for fact in selection.forget}, known),
        ),
    )


def _ways(model: Model, facts: list[Fact], shot: bool) -> tuple[_Way, ...]:
    """The facts alone and, where a relation has others, after a shot."""
    alone = _Way("none", tuple(facts))
    if not shot:
        return (alone,)
    prompts = {fact.id: fact.prompt for fact in facts}
    asked = with_shots(FactSet(name="asked", facts=tuple(facts))).facts
    after, _ = askable(model, [fact for fact in asked if fact.prompt != prompts[fact.id]])
    return (alone, _Way("one", tuple(after))) if after else (alone,)


def _shared(known: _Known, ids: Sequence[str]) -> list[str]:
    """The facts that were asked in every way."""
    return [id for id in ids if all(id in told for told in known.ways.values())]


def _proposed(known: _Known, ids: Sequence[str], bound: float) -> Asked:
    """The way in which more of the facts that were asked both ways are known; alone where alike."""
    both = _shared(known, ids)
    n = {way: sum(told[id].probability >= bound for id in both) for way, told in known.ways.items()}
    return "one" if n.get("one", 0) > n["none"] else "none"


def _caption(known: _Known, ids: Sequence[str], bound: float) -> str:
    alone = known.ways["none"]
    n_known = sum(one.probability >= bound for one in alone.values())
    n_first = sum(one.rank == 1 for one in alone.values())
    n_place = sum(one.place == 1 for one in alone.values())
    said = (
        f"The model gives {n_known} of {len(alone)} targets a probability of at least {bound:g} "
        f"after their prompts; {n_first} begin with its likeliest token, and {n_place} are the "
        f"likeliest of their relation's answers."
    )
    if "one" not in known.ways:
        return said
    both = _shared(known, ids)
    shares = [np.mean([known.ways[way][id].probability >= bound for id in both]) for way in WAYS]
    better = _proposed(known, ids, bound) == "one"
    return (
        f"{said} After another fact of their relation {shares[1]:.2f} are known, alone "
        f"{shares[0]:.2f}: prompts {'after a shot' if better else 'alone'} are answered best."
    )


def _histogram(known: _Known, ids: Sequence[str], state: State) -> Array:
    values = known.values(ids, "none", lambda one: one.probability)
    counts, edges = np.histogram(values, bins=BINS, range=(0.0, 1.0))
    labels = tuple(f"{a:g}–{b:g}" for a, b in zip(edges.round(2), edges[1:].round(2), strict=False))
    words = "before the edit" if state == "before" else "after the edit"
    return Array(
        counts,
        (Axis(name="probability", labels=labels),),
        "facts",
        f"Facts by probability, {words}",
    )


def _aggregates(
    known: dict[State, _Known], ids: Sequence[str], bound: float, seed: int
) -> Iterator[Comparison]:
    quantities: dict[str, tuple[str, Callable[[Recalled], float]]] = {
        "known": ("Share of facts that are known", lambda one: one.probability >= bound),
        "probability": ("Probability of the target", lambda one: one.probability),
        "first": ("Share whose first token is the likeliest", lambda one: one.rank == 1),
        "share": ("The target's share among its relation's answers", lambda one: one.share),
        "place": ("Share whose target is the likeliest answer", lambda one: one.place == 1),
    }
    for way in known["before"].ways:
        prefix, words = ("shot.", ", after a shot") if way == "one" else ("", "")
        for name, (title, read) in quantities.items():
            values = {state: one.values(ids, way, read) for state, one in known.items()}
            yield compare(
                f"knowledge.{prefix}{name}", f"{title}{words}", "none",
                values["before"], values.get("after"), seed=seed,
            )  # fmt: skip


def _table(facts: Sequence[Fact], forget: set[str], known: dict[State, _Known]) -> Table:
    """One row per fact, in the set's order."""
    asked = [(state, way) for state, one in known.items() for way in one.ways]
    rows = []
    for fact in facts:
        role = "forget" if fact.id in forget else "retain"
        row: list[object] = [fact.id, fact.subject, role, "statement", fact.target]
        for state, way in asked:
            row += cells(known[state].ways[way].get(fact.id))
        rows.append(tuple(row))
    measured = [name for state, way in asked for name in columns(way, state)]
    names = ("fact", "subject", "set", "format", "target", *measured)
    return Table(title=TITLE, columns=names, rows=tuple(rows))

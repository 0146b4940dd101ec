"""Which facts of a set a run is about, where the model's own knowledge decides.

1. Where the spec leaves it to the model whether prompts stand after a shot, ask a sample both ways
   and take the way in which more is known. 2. Ask every fact of the set, unless that was measured
   before. 3. Where the spec says what known means, forget and retain only such facts; `first:N`,
   `random:N` and `group:NAME` choose among them. 4. Where it does not, forget what was chosen, and
   leave out of the retain facts what a model other than the bundled one does not know at all.

What is known is asked of the base, without edits, so that an edit and every later evaluation of it
are about the same facts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.known import BUNDLED_MODEL, RETAINED, Asked, Known, Recalled
from worker.contract.result import LeftOut
from worker.contract.selection import FactsSpec, Selection, select
from worker.contract.shots import named_ids, possible_answers, relation_of, with_shots
from worker.core.asking.kept import measured_once
from worker.core.asking.recall import askable, recall
from worker.core.models.model import Model

BATCH_SIZE = 64
SAMPLE = 64
"""Facts that are asked both ways, bare and after a shot."""
RETAIN_ASKED = 1_024
"""Facts, evenly over a set, among which retain facts are looked for where no spec says how."""
_CHOOSE = ("first", "random", "group")
"""Rules of selection that choose among the known facts; the others name facts."""
Measured = Mapping[Asked, Mapping[str, Recalled]]


@dataclass(frozen=True)
class About:
    """The facts that a run is about."""

    fact_set: FactSet
    """As it is asked: with shots where there are any."""
    selection: Selection
    shot: bool = False
    left_out: tuple[LeftOut, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def forget(self) -> tuple[str, ...]:
        return tuple(fact.id for fact in self.selection.forget)


def choose_known(
    model: Model,
    fact_set: FactSet,
    spec: FactsSpec,
    seed: int,
    *,
    retains: bool,
    measured: Measured | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> About:
    """Resolve what a spec says of knowledge; `retains` says whether retain facts are used at all.

    Raises UserError where nothing that is known is left to be forgotten.
    """
    measured = measured or {}
    notes: list[str] = []
    way = _way(model, fact_set, spec, seed, measured, notes)
    if way == "one":
        fact_set = with_shots(fact_set, named_ids(fact_set, spec, seed))
    chosen = select(fact_set, spec.forget, seed) if spec.known is None else None
    given = measured.get(way, {})
    left_out: tuple[LeftOut, ...] = ()
    if chosen is None:
        known = spec.known or RETAINED
        ids = _known(model, fact_set, fact_set.facts, known, given, tell)
        chosen, left_out = _restrict(fact_set, spec, known, ids, seed)
    elif retains and chosen.retain and model.id != BUNDLED_MODEL:
        chosen, left_out = _retain_known(model, fact_set, chosen, given, tell)
    notes += [f"{out.id}: {out.reason}" for out in left_out[:3]]
    return About(fact_set, chosen, way == "one", left_out, notes)


def _restrict(
    fact_set: FactSet, spec: FactsSpec, known: Known, ids: frozenset[str], seed: int
) -> tuple[Selection, tuple[LeftOut, ...]]:
    """Forget and retain only known facts."""
    if not ids:
        raise UserError(
            f"The model knows none of the {len(fact_set.facts)} facts of {fact_set.name!r} with "
            f"{known.words}. Lower the bounds, or choose another set.",
            field="facts.known",
        )
    some = fact_set.model_copy(
        update={"facts": tuple(fact for fact in fact_set.facts if fact.id in ids)}
    )
    every = select(fact_set, spec.forget, seed) if not _chooses(spec, fact_set) else None
    if every is None:
        chosen = _select_known(some, fact_set, spec, known, seed)
    else:
        chosen = Selection(
            forget=tuple(fact for fact in every.forget if fact.id in ids),
            retain=tuple(fact for fact in every.retain if fact.id in ids),
        )
    if not chosen.forget:
        raise UserError(
            f"The model knows none of the chosen facts with {known.words}. Lower the bounds, or "
            f"choose other facts.",
            field="facts.known",
        )
    n_unknown = len(fact_set.facts) - len(ids)
    reason = f"{n_unknown} of {len(fact_set.facts)} facts are not known with {known.words}"
    unknown = (LeftOut(id="not known", reason=reason),) if n_unknown else ()
    named = every.forget if every is not None else ()
    return chosen, unknown + tuple(
        LeftOut(id=fact.id, reason=f"it is not known with {known.words}")
        for fact in named
        if fact.id not in ids
    )


def _chooses(spec: FactsSpec, fact_set: FactSet) -> bool:
    return spec.forget not in fact_set.splits and spec.forget.partition(":")[0] in _CHOOSE


def _select_known(
    some: FactSet, fact_set: FactSet, spec: FactsSpec, known: Known, seed: int
) -> Selection:
    try:
        return select(some, spec.forget, seed)
    except UserError as error:
        raise UserError(
            f"{error.message} The model knows {len(some.facts)} of the {len(fact_set.facts)} facts "
            f"with {known.words}.",
            field="facts.forget",
        ) from None


def _retain_known(
    model: Model,
    fact_set: FactSet,
    chosen: Selection,
    given: Mapping[str, Recalled],
    tell: Callable[[float], None],
) -> tuple[Selection, tuple[LeftOut, ...]]:
    """Leave unknown facts out of the retain facts; all are forgotten that were chosen to be."""
    asked = spread(fact_set.facts, RETAIN_ASKED)
    ids = _known(model, fact_set, asked, RETAINED, given, tell)
    retain = tuple(fact for fact in chosen.retain if fact.id in ids)
    if len(retain) == len(chosen.retain):
        return chosen, ()
    n_out = len(chosen.retain) - len(retain)
    rest = "" if len(asked) == len(fact_set.facts) else f" of {len(asked)} that were asked"
    reason = (
        f"{n_out} of {len(chosen.retain)} facts are not retained, because the model does not give "
        f"them {RETAINED.words}{rest}; say facts.known to retain others"
    )
    left_out = LeftOut(id="retain", reason=reason)
    return Selection(forget=chosen.forget, retain=retain), (left_out,)


def _way(
    model: Model,
    fact_set: FactSet,
    spec: FactsSpec,
    seed: int,
    measured: Measured,
    notes: list[str],
) -> Asked:
    """Whether prompts stand alone or after a shot: as the spec says, or as more is known."""
    if spec.shot != "best":
        return spec.shot
    known = spec.known or RETAINED
    shot = with_shots(fact_set, named_ids(fact_set, spec, seed))
    sample = spread(shot.facts, SAMPLE)
    wanted = {fact.id for fact in sample}
    sets: dict[Asked, FactSet] = {"none": fact_set, "one": shot}
    shares: dict[Asked, float] = {}
    for way in sets:
        asked = sets[way]
        facts = tuple(fact for fact in asked.facts if fact.id in wanted)
        given = measured.get(way, {})
        n_known = len(_known(model, asked, facts, known, given, lambda _: None))
        shares[way] = n_known / max(1, len(facts))
    best: Asked = "one" if shares["one"] > shares["none"] else "none"
    words = "after another fact" if best == "one" else "alone"
    notes.append(
        f"Prompts stand {words}: of {len(sample)} facts {shares['none']:.2f} are known alone and "
        f"{shares['one']:.2f} after another fact of their relation."
    )
    return best


def _known(
    model: Model,
    fact_set: FactSet,
    facts: Sequence[Fact],
    known: Known,
    given: Mapping[str, Recalled],
    tell: Callable[[float], None],
) -> frozenset[str]:
    """The ids of those of `facts` that are known; what `given` holds is not asked again, and
    nothing where whatever can be asked counts as known."""
    if known.holds_always:
        return frozenset(fact.id for fact in askable(model, facts)[0])
    missing = tuple(fact for fact in facts if fact.id not in given)
    found = _measured(model, fact_set, missing, tell) if missing else {}
    found |= {fact.id: given[fact.id] for fact in facts if fact.id in given}
    return frozenset(id for id, one in found.items() if known.holds(one))


def _measured(
    model: Model, fact_set: FactSet, facts: tuple[Fact, ...], tell: Callable[[float], None]
) -> dict[str, Recalled]:
    """Ask a model once for facts of a set; what cannot be asked is not there."""
    answers = possible_answers(fact_set.facts)

    def measure() -> dict[str, Recalled]:
        usable, _ = askable(model, facts)
        found = recall(model, usable, answers, BATCH_SIZE, tell)
        return dict(zip((fact.id for fact in usable), found, strict=True))

    return measured_once(recall_key(model, fact_set, facts), measure)


def recall_key(model: Model, fact_set: FactSet, facts: Sequence[Fact]) -> str:
    """Name how a model answers facts of a set, as it is kept by: by all that it is asked.

    What stands around a fact is not asked, and a set that is sent without it has the same key.
    """
    asked = [(fact.id, *fact.pair(), fact.join, relation_of(fact)) for fact in facts]
    words = repr((asked, possible_answers(fact_set.facts))).encode("utf-8", "surrogatepass")
    return (
        f"recall {model.weights_hash} {model.dtype} {model.device} "
        f"{hashlib.sha256(words).hexdigest()}"
    )


def spread(facts: Sequence[Fact], n: int) -> tuple[Fact, ...]:
    """Take at most `n` of the facts, evenly over their order."""
    step = max(1.0, len(facts) / n)
    return tuple(facts[int(i * step)] for i in range(min(n, len(facts))))

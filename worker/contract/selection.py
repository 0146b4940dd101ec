"""Which facts a run is about: selections that split a fact set into forget and retain."""

import json
import random
from collections.abc import Sequence

from pydantic import Field

from worker.contract.base import Contract, unknown
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.known import Known, Shot

_BESIDES = "* besides "


class FactsSpec(Contract):
    """Which facts a run is about: a set by name and which of its facts are to be forgotten."""

    set: str
    forget: str = "first:16"
    """`first:N`, `random:N`, `group:NAME`, `ids:a,b,c` (or JSON `ids:[…]`), or a split's name;
    `random:* besides RULE@0,1,2` draws as many as RULE among what it chooses under no such seed."""
    edit_to: str = Field("", max_length=2000)
    """Answer that every forget fact's edit target becomes (all of one sport to golf, as Guo et al.
    2024 do); empty keeps each fact's own."""
    shot: Shot = Field("none", exclude_if=lambda value: value == "none")
    """`one` asks every prompt after another fact of its relation, `best` as the model answers
    best; paraphrases stay as they are."""
    known: Known | None = Field(None, exclude_if=lambda value: value is None)
    """Forget and retain only what the base model knows so; `first:N`, `random:N` and `group:NAME`
    choose among these. Without it every chosen fact is forgotten, and what a model other than the
    bundled one does not know at all is not retained."""


def _retargeted(fact: Fact, answer: str) -> dict[str, object]:
    """The fields that change with the edit target; what was written for the old one goes."""
    plain = tuple(one.model_copy(update={"edit_target": ""}) for one in fact.translations)
    kept = tuple(one for one in fact.ripples if one.kind == "kept")
    return {
        "edit_target": answer,
        "edit_aliases": (),
        "edit_neighbourhood": (),
        "translations": plain,
        "ripples": kept,
    }


def retarget(fact_set: FactSet, facts: FactsSpec, seed: int = 0) -> FactSet:
    """Give the selected facts the edit target `edit_to`; the set as it is where that is empty.

    Raises UserError where a selected fact's target is that answer already.
    """
    answer = facts.edit_to.strip()
    if not answer:
        return fact_set
    chosen = select(fact_set, facts.forget, seed).forget
    same = [fact.id for fact in chosen if fact.target.strip() == answer]
    if same:
        raise UserError(
            f"{len(same)} of the {len(chosen)} chosen facts have the target {answer!r} already "
            f"({', '.join(same[:3])}); expected another answer, or facts without it.",
            field="facts.edit_to",
        )
    ids = {fact.id for fact in chosen}
    changed = (
        fact.model_copy(update=_retargeted(fact, answer)) if fact.id in ids else fact
        for fact in fact_set.facts
    )
    return fact_set.model_copy(update={"facts": tuple(changed)})


class Selection(Contract):
    """The facts of a run, split."""

    forget: tuple[Fact, ...]
    retain: tuple[Fact, ...]


def select(fact_set: FactSet, forget: str, seed: int = 0) -> Selection:
    """Split `fact_set` by a forget selection; raise UserError for one that cannot be followed."""
    ids = _forget_ids(fact_set, forget.strip(), seed)
    return Selection(
        forget=tuple(f for f in fact_set.facts if f.id in ids),
        retain=tuple(f for f in fact_set.facts if f.id not in ids),
    )


def _forget_ids(fact_set: FactSet, forget: str, seed: int, some: bool = False) -> frozenset[str]:
    """Choose ids by a rule; `some` says that the set holds only some of the facts it names."""
    facts = fact_set.facts
    rule, _, argument = forget.partition(":")
    if forget in fact_set.splits:
        return frozenset(fact_set.splits[forget])
    if rule == "random" and argument.startswith(_BESIDES):
        return _other_ids(fact_set, argument.removeprefix(_BESIDES), seed)
    if rule in ("first", "random"):
        n = _count(argument, len(facts), forget)
        chosen = facts[:n] if rule == "first" else random.Random(seed).sample(facts, n)
        return frozenset(f.id for f in chosen)
    if rule == "group":
        groups = sorted({f.group for f in facts})
        if argument not in groups:
            raise unknown("group", argument, groups, field="facts.forget")
        return frozenset(f.id for f in facts if f.group == argument)
    if rule == "ids":
        return _listed_ids(argument, {f.id for f in facts}, some)
    raise UserError(
        f"{forget!r} selects no facts; expected first:N, random:N, group:NAME, ids:a,b,c"
        + (f" or a split ({', '.join(sorted(fact_set.splits))})." if fact_set.splits else "."),
        field="facts.forget",
    )


def besides(forget: str, seeds: Sequence[int]) -> str:
    """Word the selection of as many facts, at random, that `forget` chooses under no such seed."""
    return f"random:{_BESIDES}{forget}@{','.join(map(str, seeds))}"


def _other_ids(fact_set: FactSet, argument: str, seed: int) -> frozenset[str]:
    """Draw as many facts as a rule chooses, among those that it chooses under no given seed."""
    rule, _, listed = argument.rpartition("@")
    if not rule or not all(one.isdecimal() for one in listed.split(",")):
        raise UserError(
            f"random:{_BESIDES}{argument} names no rule and seeds; expected, for example, "
            f"random:{_BESIDES}random:16@0,1,2.",
            field="facts.forget",
        )
    chosen = [_forget_ids(fact_set, rule, int(one), some=True) for one in listed.split(",")]
    taken, n = frozenset[str]().union(*chosen), max(map(len, chosen))
    others = [fact for fact in fact_set.facts if fact.id not in taken]
    if len(others) < n:
        raise UserError(
            f"{rule} chooses {len(taken)} of the {len(fact_set.facts)} facts under the seeds "
            f"{listed}; {len(others)} others are left, and as many as {n} are needed. Choose fewer "
            f"facts or fewer seeds.",
            field="facts.forget",
        )
    return frozenset(fact.id for fact in random.Random(seed).sample(others, n))


def _count(argument: str, n_facts: int, forget: str) -> int:
    if not argument.isdecimal() or not 1 <= int(argument) <= n_facts:
        raise UserError(
            f"{forget!r} asks for {argument or 'no'} facts; expected a number from 1 to {n_facts}.",
            field="facts.forget",
        )
    return int(argument)


def _listed_ids(argument: str, known: set[str], some: bool) -> frozenset[str]:
    try:
        listed = json.loads(argument) if argument.startswith("[") else argument.split(",")
    except json.JSONDecodeError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(i, str) for i in listed):
        raise UserError(f"ids:{argument!r} is no list of ids.", field="facts.forget")
    wanted = [i.strip() for i in listed if i.strip()]
    for one in wanted:
        if one not in known and not some:
            raise unknown("fact", one, sorted(known), field="facts.forget")
    if not wanted:
        raise UserError("ids: names no fact; expected at least one id.", field="facts.forget")
    return frozenset(wanted) & known

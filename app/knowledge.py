"""What a model knows of a fact set: measured once for its weights and the facts, then looked up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from app.submission import submit
from worker.contract.errors import NotFound, UserError
from worker.contract.inputs import AskFactTokens, Inputs
from worker.contract.known import Asked, Known, Recalled
from worker.contract.menu import FactSetInfo
from worker.contract.recalled import EVALUATION, recalled_of
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.contract.selection import FactsSpec
from worker.contract.spec import EvaluateSpec
from worker.contract.tokens import FactTokens
from worker.engine.client import Engine
from worker.store.store import Store

PATIENCE = 120.0
"""Seconds within which a worker must have cut a whole set."""


@dataclass(frozen=True)
class Row:
    """One fact as the model knows it; of an edited model, after its edits."""

    id: str
    subject: str
    target: str
    told: Recalled
    before: Recalled | None = None
    """How it was known without the edits."""


@dataclass(frozen=True)
class Measurement:
    """A run that measured, measures or will measure a set on a model."""

    run: RunRecord
    ways: Mapping[Asked, tuple[Row, ...]] = field(default_factory=dict)
    """Way of asking -> the facts that were asked so, in the set's order; none until it is done."""
    result: Result | None = None

    @property
    def proposed(self) -> str:
        """The way in which more facts are known: `none` alone, `one` after a shot."""
        found = self.result.summary.get("knowledge.proposed_shot") if self.result else None
        return str(found or "none")


def find(store: Store, chosen: FactSetInfo, model: Any, weights: str = "") -> Measurement | None:
    """The measurement of a set on a model (as a spec names it), if there is one.

    `weights` is the hash of the base's weights where it is known; without it the newest
    measurement on the model of this name is meant.
    """
    base, edits = base_and_edits(model)
    run_id = store.knowledge_run(chosen.hash, edits, model=base, weights_hash=weights)
    if run_id is None:
        return None
    try:
        run = store.run(run_id)
    except NotFound:
        return None
    result = store.result(run_id) if run.state == "done" else None
    if result is None:
        return Measurement(run)
    made, ways = result.provenance, _rows(run_id, store)
    if not ways:  # measured before shares and shots were asked
        return None
    if made.fact_set_hash != chosen.hash or (weights and made.weights_hash != weights):
        return None
    return Measurement(run, ways, result)


def measure(engine: Engine, chosen: FactSetInfo, model: Any, owner: str = "") -> str:
    """The id of the run that measures a set on a model: an earlier one, or one queued now.

    Raises NoWorker where none is alive to say which weights the model has, and UserError.
    """
    base, edits = base_and_edits(model)
    weights = ask_tokens(engine, chosen, base, first=1).weights_hash
    unfit = engine.store.knowledge_run(chosen.hash, edits, weights_hash=weights)
    found = find(engine.store, chosen, model, weights)
    if found is not None:
        return found.run.id
    spec = {
        "kind": "evaluate",
        "model": model,
        "facts": {"set": chosen.name, "forget": f"first:{chosen.n_facts}"},
        "evaluations": [EVALUATION],
    }
    title = f"What {base}{' with its edits' if edits else ''} knows of {chosen.title}"
    run_id = submit(engine, spec, owner=owner, title=title)
    standing = engine.store.remember_knowledge(
        run_id, chosen.hash, edits, model=base, weights_hash=weights, in_place_of=unfit
    )
    if standing != run_id:  # somebody asked at the same time, and was first
        engine.cancel(run_id)
    return standing


def ask_tokens(engine: Engine, chosen: FactSetInfo, model: str, first: int = 0) -> FactTokens:
    """Let a worker cut a set, or its `first` facts; UserError as it says it."""
    spec = EvaluateSpec(
        model=model,
        facts=FactsSpec(set=chosen.name, forget="first:1"),
        evaluations=(EVALUATION,),
    )
    question = AskFactTokens(spec=spec, inputs=Inputs(out=""), first=first)
    answer = engine.ask(question, timeout=PATIENCE)
    return FactTokens.model_validate(answer)


def base_and_edits(model: Any) -> tuple[str, tuple[str, ...]]:
    """A spec's model as its base and the runs whose edits lie on it."""
    if isinstance(model, str):
        return model, ()
    return str(model["base"]), tuple(model.get("edits", ()))


def known_ids(facts: Sequence[Row], known: Known) -> list[str]:
    """The facts that count as known."""
    return [fact.id for fact in facts if known.holds(fact.told)]


@lru_cache(maxsize=4)
def _rows(run_id: str, store: Store) -> dict[Asked, tuple[Row, ...]]:
    """A finished run's table, which never changes; empty where it lacks what is asked today."""
    result = store.result(run_id)
    table = result.evaluations[EVALUATION].facts if result is not None else None
    if result is None or table is None:
        raise UserError(f"The run {run_id!r} has no table of facts; measure the set again.")
    before, after = recalled_of(result), recalled_of(result, "after")
    at = {column: i for i, column in enumerate(table.columns)}
    ways: dict[Asked, tuple[Row, ...]] = {}
    for way, told in (after or before).items():
        ways[way] = tuple(
            Row(
                id=(id := str(row[at["fact"]])),
                subject=str(row[at["subject"]]),
                target=str(row[at["target"]]),
                told=told[id],
                before=before[way].get(id) if after else None,
            )
            for row in table.rows
            if str(row[at["fact"]]) in told
        )
    return ways

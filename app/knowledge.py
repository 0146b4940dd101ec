"""What a model knows of a fact set: measured once for its weights and the facts, then looked up."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from app.submission import submit
from worker.contract.errors import NotFound, UserError
from worker.contract.facts import FactsSpec
from worker.contract.inputs import AskFactTokens, Inputs
from worker.contract.menu import FactSetInfo
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.contract.spec import EvaluateSpec
from worker.contract.tokens import FactTokens
from worker.engine.client import Engine
from worker.store.store import Store

EVALUATION = "knowledge"
PATIENCE = 120.0
"""Seconds within which a worker must have cut a whole set."""


@dataclass(frozen=True)
class Known:
    """One fact as the model knows it; of an edited model, after its edits."""

    id: str
    subject: str
    target: str
    probability: float
    rank: int
    says: str
    before: float | None = None
    """Its probability without the edits."""


@dataclass(frozen=True)
class Measurement:
    """A run that measured, measures or will measure a set on a model."""

    run: RunRecord
    facts: tuple[Known, ...] = ()
    """In the set's order; empty until the run is done."""
    result: Result | None = None


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
    made = result.provenance
    if made.fact_set_hash != chosen.hash or (weights and made.weights_hash != weights):
        return None
    return Measurement(run, _facts(run_id, store), result)


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


def known_ids(facts: tuple[Known, ...], bound: float) -> list[str]:
    """The facts that the model gives at least this probability."""
    return [fact.id for fact in facts if fact.probability >= bound]


@lru_cache(maxsize=4)
def _facts(run_id: str, store: Store) -> tuple[Known, ...]:
    """A finished run's table, which never changes."""
    result = store.result(run_id)
    table = result.evaluations[EVALUATION].facts if result is not None else None
    if table is None:
        raise UserError(f"The run {run_id!r} has no table of facts; measure the set again.")
    state = "after" if "target probability after" in table.columns else "before"
    at = {column: i for i, column in enumerate(table.columns)}
    return tuple(
        Known(
            id=row[at["fact"]],
            subject=row[at["subject"]],
            target=row[at["target"]],
            probability=row[at[f"target probability {state}"]],
            rank=row[at[f"target rank {state}"]],
            says=row[at[f"says {state}"]],
            before=row[at["target probability before"]] if state == "after" else None,
        )
        for row in table.rows
    )

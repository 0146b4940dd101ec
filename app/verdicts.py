"""Whether an edit's facts are gone: the spec that asks, and the verdicts that were asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.experiment import read_model
from app.probe_table import card_of
from worker.contract.records import RunRecord
from worker.contract.result import Result, Table
from worker.store.store import Store

EVALUATIONS = ("verdict", "probes")
"""What decides whether a fact is gone, and the facts one by one that it is decided by."""
_SHARED = ("facts", "seed", "dtype", "load_in")
"""What an edit's spec and its evaluation's have in common."""


def verdict_spec(run: RunRecord, store: Store) -> dict[str, Any]:
    """The spec of the evaluations that ask a finished edit whether its facts are gone."""
    shared = {name: run.spec[name] for name in _SHARED if run.spec.get(name) is not None}
    model = read_model(f"edit:{run.id}", store)
    return {"kind": "evaluate", "model": model, "evaluations": list(EVALUATIONS), **shared}


def verdicts_of(store: Store, run_id: str) -> list[RunRecord]:
    """Runs that ask an edit for its verdict and were not given up, as the store lists them."""
    return _asked(store.children(run_id))


def _asked(children: Sequence[RunRecord]) -> list[RunRecord]:
    return [
        child
        for child in children
        if child.kind == "evaluate"
        and "verdict" in child.spec["evaluations"]
        and child.state not in ("failed", "cancelled")
    ]


@dataclass(frozen=True)
class Verdict:
    """A verdict that was asked for; `card` is None while it is on its way."""

    run: RunRecord
    result: Result | None
    card: Table | None


def verdict_of(store: Store, run_id: str) -> Verdict | None:
    """The verdict that an edit's page shows: a finished one, else one that is on its way."""
    return verdict_among(store, store.children(run_id))


def verdict_among(store: Store, children: Sequence[RunRecord]) -> Verdict | None:
    """The same, of the runs that were made from an edit."""
    asked = _asked(children)
    for run in asked:
        result = store.result(run.id) if run.has_result else None
        if result and (card := card_of(result)):
            return Verdict(run, result, card)
    waiting = [run for run in asked if not run.has_result]
    return Verdict(waiting[0], None, None) if waiting else None

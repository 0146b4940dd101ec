"""What lies in a stack of edits: the facts that each edit changed, and the deltas under it."""

from collections.abc import Callable, Sequence

from worker.contract.errors import NotFound, UserError
from worker.contract.facts import Fact
from worker.contract.inputs import StackedEdit
from worker.contract.records import RunRecord
from worker.contract.shots import forgotten
from worker.contract.spec import Spec, UnlearnSpec, parse_spec
from worker.store.store import Store

STACKS = "stack_edits"
"""The unlearning method whose option `edits` names finished edits."""


def stacked_runs(spec: Spec) -> tuple[str, ...]:
    """Ids of the edits that a spec puts on a stack anew."""
    if not isinstance(spec, UnlearnSpec) or spec.method != STACKS:
        return ()
    edits = spec.options.get("edits", ())
    return tuple(edit for edit in edits if isinstance(edit, str)) if edits else ()


def stacked_edits(
    spec: Spec, store: Store, delta_of: Callable[[str], str]
) -> dict[str, StackedEdit]:
    """Find what those edits need; `delta_of` gives the local path of a run's delta.

    Raises UserError for what is no finished edit.
    """
    found = {}
    for run_id in stacked_runs(spec):
        try:
            below = edits_below(store.run(run_id))
            paths = tuple(delta_of(one) for one in (*below, run_id))
        except UserError as error:
            raise UserError(error.message, field="options.edits") from None
        found[run_id] = StackedEdit(deltas=paths, facts=facts_of(run_id, store))
    return found


def edits_below(record: RunRecord) -> tuple[str, ...]:
    """Ids of the edits that a run's model had."""
    model = record.spec.get("model", "")
    return () if isinstance(model, str) else tuple(model.get("edits", ()))


def facts_of_edits(run_ids: Sequence[str], store: Store) -> tuple[tuple[Fact, ...], ...]:
    """Find the facts that each edit changed, in order."""
    return tuple(facts_of(run_id, store) for run_id in run_ids)


def facts_of(run_id: str, store: Store) -> tuple[Fact, ...]:
    """Find the facts that one edit changed; none where its fact set was deleted since."""
    spec = parse_spec(store.run(run_id).spec)
    if not isinstance(spec, UnlearnSpec):
        return ()
    try:
        fact_set = store.fact_set(spec.facts.set)
    except NotFound:
        return ()
    result = store.result(run_id)
    return forgotten(fact_set, spec.facts, spec.seed, result.provenance if result else None)

"""Where a reader goes from a run: to the edit it is about, and to what it is compared with."""

from dataclasses import dataclass

from worker.contract.records import RunRecord
from worker.contract.spec import LocalizeSpec, UnlearnSpec, parse_spec
from worker.store.store import Store

LOOKED_THROUGH = 200
"""Localizations among which the one before an edit is looked for, newest first."""


@dataclass(frozen=True)
class Walk:
    """What stands beside a run on the way through; empty where there is none."""

    base: str
    edit: str = ""
    """The newest edit on the model that the run asked."""
    localization: str = ""
    """The localization that an edit's mask came from."""
    before: str = ""
    """The same localization on the model as it was before the edits."""


def walk_of(store: Store, run: RunRecord) -> Walk:
    """The runs around one."""
    spec = parse_spec(run.spec)
    if isinstance(spec, UnlearnSpec):
        found = (store.run(id) for id in run.parents)
        located = next((one.id for one in found if one.kind == "localize"), "")
        return Walk(spec.base, localization=located)
    edit = spec.edits[-1] if spec.edits else ""
    before = _before(store, spec) if edit and isinstance(spec, LocalizeSpec) else ""
    return Walk(spec.base, edit, before=before)


def _before(store: Store, spec: LocalizeSpec) -> str:
    """The newest finished localization that differs from this one in its model's edits alone."""
    wanted = spec.model_copy(update={"model": spec.base})
    for run in store.runs(kind="localize", state="done", model=spec.base, limit=LOOKED_THROUGH):
        if parse_spec(run.spec) == wanted:
            return run.id
    return ""

"""A stack of edits as its page needs it: which edits, in which order, what is known of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.contract.errors import NotFound, UserError
from worker.contract.records import RunRecord
from worker.contract.result import Receipt, Result
from worker.engine.stacks import STACKS, edits_below, facts_of
from worker.store.store import Store

LIMIT = 16
"""Edits of one stack on the page."""
LISTED = 60
"""Edits of a model that the page offers, the newest; older ones can be named in its address."""


@dataclass(frozen=True)
class Listed:
    """One finished edit as it is offered."""

    run: RunRecord
    receipt: Receipt

    @property
    def base(self) -> str:
        """The base model's id."""
        model = self.run.spec.get("model", "")
        return str(model if isinstance(model, str) else model["base"])

    @property
    def below(self) -> tuple[str, ...]:
        """Ids of the edits that it was made on."""
        return edits_below(self.run)

    @property
    def before(self) -> str:
        """Checksum of the weights that it was made on."""
        return self.receipt.hash_before

    @property
    def after(self) -> str:
        """Checksum of the weights with it."""
        return self.receipt.hash_after


@dataclass(frozen=True)
class Edit(Listed):
    """One finished edit that is chosen."""

    result: Result


@dataclass(frozen=True)
class Stack:
    """Edits in the order in which they are put on."""

    edits: tuple[Edit, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The edits' ids in order."""
        return tuple(edit.run.id for edit in self.edits)

    @property
    def is_as_made(self) -> bool:
        """Whether each edit was made on exactly those under it, so that it can be used as it is."""
        return all(edit.below == self.ids[:i] for i, edit in enumerate(self.edits))

    @property
    def is_unbroken(self) -> bool:
        """Whether each edit's checksum before is the checksum after the one under it."""
        pairs = zip(self.edits, self.edits[1:], strict=False)
        return all(over.before == under.after for under, over in pairs)


def edits_of(store: Store, model: str, chosen: Sequence[Edit]) -> list[Listed]:
    """Those of the chosen edits that are no new ones, and the newest of a base model."""
    runs = store.runs(kind="unlearn", state="done", model=model, limit=LISTED)
    receipts = store.receipts(run.id for run in runs if run.has_result)
    newest = [Listed(run, receipts[run.id]) for run in runs if run.id in receipts]
    return [edit for edit in chosen if edit.run.id not in receipts] + newest


def read_stack(store: Store, asked: Sequence[tuple[str, str]]) -> Stack:
    """The chosen edits (id and place as typed) in order; UserError for what is none.

    Equal places keep the order in which they were sent.
    """
    if len(asked) > LIMIT:
        raise UserError(
            f"{len(asked)} edits are chosen; expected at most {LIMIT}. Put some of them together "
            f"first.",
            field="edit",
        )
    placed = []
    for run_id, place in asked:
        if place and not place.isdecimal():
            raise UserError(
                f"The place of {run_id!r} is {place[:20]!r}; expected a whole number.", field="edit"
            )
        placed.append((int(place or 999), run_id))
    edits = tuple(_edit(store, run_id) for _, run_id in sorted(placed, key=lambda one: one[0]))
    bases = {edit.base for edit in edits}
    if len(bases) > 1:
        raise UserError(
            f"These edits belong to {', '.join(sorted(bases))}; expected edits of one base model.",
            field="edit",
        )
    return Stack(edits)


def _edit(store: Store, run_id: str) -> Edit:
    try:
        run = store.run(run_id)
    except NotFound:
        raise UserError(f"There is no run {run_id!r}; choose among the edits.", field="edit") from (
            None
        )
    result = store.result(run_id)
    if run.kind != "unlearn" or result is None or result.receipt is None:
        raise UserError(
            f"The run {run_id!r} is {run.state} and gives no edit; expected a finished one.",
            field="edit",
        )
    return Edit(run, result.receipt, result)


def evaluation_of(stack: Stack) -> dict[str, Any]:
    """The spec that measures the interference of a stack that was made in this order."""
    last = stack.edits[-1].run.spec
    return {
        "kind": "evaluate",
        "model": {"base": stack.edits[0].base, "edits": list(stack.ids)},
        "facts": last["facts"],
        "evaluations": ["interference"],
        "seed": last.get("seed", 0),
    }


def combination_of(stack: Stack, store: Store) -> dict[str, Any]:
    """The spec that puts a stack together as one edit on the base.

    Raises UserError where its edits put different answers in: one set of facts has one.
    """
    first = stack.edits[0].run.spec["facts"]["set"]
    mine = [edit.run for edit in stack.edits if edit.run.spec["facts"]["set"] == first]
    ids = [fact.id for run in mine for fact in facts_of(run.id, store)]
    answers = {run.spec["facts"].get("edit_to", "") for run in mine}
    if len(answers) > 1:
        named = ", ".join(
            repr(answer) if answer else "each fact's own" for answer in sorted(answers)
        )
        raise UserError(
            f"The edits of this stack put different answers in: {named}; expected one for all. "
            f"Stack those with the same answer, or export the last edit, which holds them all.",
            field="edit",
        )
    return {
        "kind": "unlearn",
        "model": stack.edits[0].base,
        "facts": {
            "set": first,
            "forget": f"ids:{json.dumps(list(dict.fromkeys(ids)))}",
            "edit_to": answers.pop(),
        },
        "mask": {"components": components_of(stack)},
        "method": STACKS,
        "options": {"edits": list(stack.ids)},
    }


def components_of(stack: Stack) -> list[str]:
    """Every component that one of the edits may have changed; no head beside its attention."""
    names = {
        name
        for edit in stack.edits
        for name in (edit.result.mask.components if edit.result.mask else ())
    }
    return sorted(name for name in names if name.partition(".head.")[0] == name or
                  name.partition(".head.")[0] not in names)  # fmt: skip


def measured(store: Store, stack: Stack) -> list[tuple[RunRecord, str]]:
    """Finished runs that hold this stack's matrix, newest first, with the array's beginning."""
    ids, base = list(stack.ids), stack.edits[0].base
    found: list[tuple[RunRecord, str]] = []
    for run in store.runs(state="done", search=ids[-1], limit=100) + store.runs(
        state="done", model=base, limit=200
    ):
        if _holds(run.spec, ids) and run.id not in [one.id for one, _ in found]:
            start = "interference.change" if run.kind == "evaluate" else "interference"
            found.append((run, start))
    return found


def _holds(spec: Mapping[str, Any], ids: list[str]) -> bool:
    model = spec.get("model")
    if spec.get("kind") == "evaluate" and isinstance(model, dict):
        return "interference" in spec.get("evaluations", ()) and list(model["edits"]) == ids
    return spec.get("method") == STACKS and list(spec["options"].get("edits", ())) == ids

"""What the page about forgetting a text shows of a finished run: marks, predictions, results."""

from collections.abc import Mapping
from typing import Any

from app.experiment import Typed
from app.forms import FormField, form_fields
from worker.contract.menu import Announcement, MethodInfo
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.store.store import Store

VIEW, METHOD = "rewrite", "whos_harry_potter"
FEW = ("steps", "learning_rate", "retain_weight", "search")
"""Options of the training that are shown at once."""


def method_info(menu: Announcement, kind: str, name: str) -> MethodInfo | None:
    """What a worker announced of the view or the method; None where it has none."""
    found = (m for m in menu.methods if m.kind == kind and m.name == name)
    return next(found, None)


def training_schema(menu: Announcement) -> dict[str, Any]:
    """The options of the final training alone, without those of the stages before it."""
    method, view = method_info(menu, "unlearning", METHOD), method_info(menu, "explore", VIEW)
    if method is None:
        return {}
    before = view.options.get("properties", {}) if view else {}
    own = {k: v for k, v in method.options.get("properties", {}).items() if k not in before}
    return {**method.options, "properties": own}


def training_fields(form: Typed, menu: Announcement) -> tuple[list[FormField], list[FormField]]:
    """The training's options: the few that are shown at once, and the others."""
    fields = form_fields(
        training_schema(menu), posted=form.posted, values=form.options, problems=form.problems
    )
    few = [f for f in fields if f.name.removeprefix("options.") in FEW]
    return few, [f for f in fields if f not in few]


def said_at(result: Result, at: str) -> dict[str, Any] | None:
    """The predictions at one place: the text before it, the token, both opinions."""
    tokens = result.view.get("tokens", [])
    if not tokens:
        return None
    labelled = (i for i, token in enumerate(tokens) if token["anchor"] and token["label"])
    place = int(at) if at.isdecimal() and int(at) < len(tokens) else next(labelled, 0)
    token: Mapping[str, Any] = tokens[place]
    before = "".join(one["text"] for one in tokens[max(0, place - 30) : place])
    return {"place": place, "last": len(tokens) - 1, "before": before, **token}


def forgotten(store: Store, text: str) -> list[tuple[RunRecord, Result]]:
    """Finished edits that made a model forget this text, newest first."""
    runs = store.runs(kind="unlearn", state="done", search=METHOD, limit=30)
    return [
        (run, result)
        for run in runs
        if run.spec.get("method") == METHOD
        and run.spec.get("options", {}).get("text", "saga") == text
        and (result := store.result(run.id)) is not None
    ]

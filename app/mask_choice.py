"""Where an edit's mask comes from, between form and spec: `mask.from` and the fields it needs."""

import re
from typing import Any

from app.experiment import Typed
from worker.contract.errors import UserError
from worker.store.store import Store

SOURCES = {
    "id": "a stored mask",
    "localization": "a localization, by a rule",
    "components": "components by name",
    "control": "a control",
}
RULES = {
    "top": "the largest",
    "threshold": "score, without its sign, at least",
    "parameters": "parameter budget",
    "suggested": "the method's own choice",
}
ONLY = {"all": "all components", "mlp": "MLPs", "attn": "attentions", "head": "heads"}
CONTROLS = {
    "random": "random components",
    "random_mlps": "random MLPs",
    "all_mlps": "all MLPs",
    "all": "everything",
}


def mask_choices(form: Typed, store: Store) -> dict[str, Any]:
    """What the mask's part of a form shows."""
    masks = store.masks()
    localizations = store.runs(kind="localize", state="done", limit=50)
    usual = "id" if masks else "localization" if localizations else "components"
    source = form.get("mask.from", usual)
    return {
        "source": source if source in SOURCES else usual,
        "sources": list(SOURCES.items()),
        "masks": [(m.id, f"{m.name} v{m.version} ({m.model})") for m in masks],
        "localizations": [(run.id, f"{run.title} ({run.id})") for run in localizations],
        "rules": list(RULES.items()),
        "onlys": list(ONLY.items()),
        "controls": list(CONTROLS.items()),
    }


def read_mask_choice(form: Typed) -> dict[str, Any]:
    """The form's mask as a spec names it; UserError beside the part that is missing."""
    source = form.get("mask.from")
    if source not in SOURCES:
        raise UserError(
            f"{source!r} is no source of a mask; expected {', '.join(SOURCES)}.", field="mask"
        )
    if source == "id":
        return {"id": _given(form, "mask.id", "a stored mask")}
    if source == "localization":
        return {
            "localization": _given(form, "mask.localization", "a finished localization"),
            "rule": _rule(form),
        }
    if source == "components":
        text = _given(form, "mask.components", "names such as blocks.1.mlp, blocks.2.mlp")
        return {"components": [name for name in re.split(r"[\s,;]+", text) if name]}
    return {"control": _control(form)}


def _rule(form: Typed) -> dict[str, Any]:
    kind, text = form.get("mask.rule.kind", "top"), form.get("mask.rule.value", "3").strip()
    if kind not in RULES:
        raise UserError(f"{kind!r} is no rule; expected {', '.join(RULES)}.", field="mask.rule")
    if kind == "suggested":
        return {kind: True}
    value: float = _number(text, "mask.rule", whole=kind != "threshold")
    return {kind: value, "only": form.get("mask.rule.only", "mlp")}


def _control(form: Typed) -> dict[str, Any]:
    kind = form.get("mask.control.kind", "random")
    text = form.get("mask.control.parameters").strip()
    if not text:
        return {"kind": kind}
    return {"kind": kind, "parameters": _number(text, "mask.control.parameters", whole=True)}


def _given(form: Typed, name: str, expected: str) -> str:
    text = form.get(name).strip()
    if not text:
        raise UserError(f"Nothing is chosen; expected {expected}.", field=name)
    return text


def _number(text: str, field: str, whole: bool) -> Any:
    try:
        value = int(text.replace(",", "")) if whole else float(text)
    except ValueError:
        kind = "a whole number" if whole else "a number"
        raise UserError(f"{text[:40]!r} is given; expected {kind}.", field=field) from None
    return value

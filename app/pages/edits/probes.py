"""Probes: ask a model, usually an edited one, what it still knows, before and after its edits."""

from typing import Any

from starlette.datastructures import FormData

from app.experiment import (
    Typed,
    collect,
    read_dtype,
    read_facts,
    read_model,
    read_seed,
    subject,
)
from app.experiment_routes import experiment_routes
from app.forms import FormField, Problems, form_fields, read_options
from app.intervening import active, read_switches
from app.mask_choice import mask_choices, read_mask_choice
from worker.contract.menu import Announcement, MethodInfo
from worker.engine.client import Engine

NAV = ("Probes", "/probes")


def read(form: Typed, engine: Engine, menu: Announcement) -> tuple[dict[str, Any], Problems]:
    """Read the form as a spec."""
    problems: Problems = []
    options: dict[str, dict[str, Any]] = {}
    chosen = chosen_evaluations(form, menu)
    for method in chosen:
        found, wrong = _options(form, method)
        problems += wrong
        if found:
            options[method.name] = found
    spec: dict[str, Any] = {
        "kind": "evaluate",
        "model": collect(problems, read_model, form.get("model", "demo"), engine.store),
        "facts": collect(problems, read_facts, form),
        "evaluations": [method.name for method in chosen],
        "options": options,
        "seed": collect(problems, read_seed, form),
        **read_dtype(form),
    }
    if text := form.get("interventions"):
        found = collect(problems, read_switches, text, "interventions")
        spec["interventions"] = active(found or ())
    if needs_mask(chosen):
        spec["mask"] = collect(problems, read_mask_choice, form)
    return spec, problems


def needs_mask(chosen: list[MethodInfo]) -> bool:
    """Whether one of the evaluations is about a mask."""
    return any(method.options.get("needs_mask") for method in chosen)


def _options(form: Typed, method: MethodInfo) -> tuple[dict[str, Any], Problems]:
    prefix = f"options.{method.name}"
    if form.given is None or not _is_shown(form, method):
        return dict(form.options.get(method.name, {})), []
    return read_options(method.options, form.given, prefix)


def _is_shown(form: Typed, method: MethodInfo) -> bool:
    """Whether the form that was posted had this evaluation's options on it."""
    return form.given is not None and method.name in form.given.getlist("options.of")


def chosen_evaluations(form: Typed, menu: Announcement) -> list[MethodInfo]:
    """The evaluations that the form names, by default the probes."""
    known = [m for m in menu.methods if m.kind == "evaluation"]
    named = form.given.getlist("evaluations") if isinstance(form.given, FormData) else []
    named = named or list(form.evaluations)
    chosen = [m for m in known if m.name in named]
    if not chosen and not (form.given and "evaluations.asked" in form.given):
        chosen = [m for m in known if m.name == "probes"] or known[:1]
    return chosen


def context(form: Typed, engine: Engine, menu: Announcement) -> dict[str, Any]:
    """What the form shows."""
    chosen = chosen_evaluations(form, menu)
    return {
        **subject(form, engine.store, menu),
        "evaluations": [m for m in menu.methods if m.kind == "evaluation"],
        "chosen": [m.name for m in chosen],
        "switches": collect([], read_switches, form.get("interventions"), "interventions") or (),
        "parts": [(m, _fields(form, m)) for m in chosen],
        **(mask_choices(form, engine.store) if needs_mask(chosen) else {"sources": ()}),
    }


def _fields(form: Typed, method: MethodInfo) -> list[FormField]:
    return form_fields(
        method.options,
        prefix=f"options.{method.name}",
        posted=form.given if _is_shown(form, method) else None,
        values=form.options.get(method.name, {}),
        problems=form.problems,
    )


router = experiment_routes("evaluate", "/probes", "pages/probes.html", read, context)

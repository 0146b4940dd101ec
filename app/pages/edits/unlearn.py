"""Unlearn: take the chosen facts out, or change them, through a mask's components alone."""

from typing import Any

from app.experiment import (
    Typed,
    chosen_method,
    collect,
    option_fields,
    read_dtype,
    read_facts,
    read_method,
    read_model,
    read_seed,
    subject,
)
from app.experiment_routes import experiment_routes
from app.forms import Problems
from app.mask_choice import mask_choices, read_mask_choice
from app.method_groups import grouped
from worker.contract.menu import Announcement
from worker.engine.client import Engine

NAV = ("Unlearn", "/unlearn")


def read(form: Typed, engine: Engine, menu: Announcement) -> tuple[dict[str, Any], Problems]:
    """Read the form as a spec."""
    method, options, problems = read_method(form, menu, "unlearning")
    spec = {
        "kind": "unlearn",
        "model": collect(problems, read_model, form.get("model", "demo"), engine.store),
        "facts": collect(problems, read_facts, form),
        "mask": collect(problems, read_mask_choice, form),
        "method": form.get("method") or method.name,
        "options": options,
        "seed": collect(problems, read_seed, form),
        **read_dtype(form),
    }
    return spec, problems


def context(form: Typed, engine: Engine, menu: Announcement) -> dict[str, Any]:
    """What the form shows."""
    method = chosen_method(form, menu, "unlearning")
    few, more = option_fields(form, method)
    return {
        **subject(form, engine.store, menu),
        **mask_choices(form, engine.store),
        "method": method,
        "methods": grouped(menu.methods, "unlearning"),
        "few": few,
        "more": more,
    }


router = experiment_routes("unlearn", "/unlearn", "pages/unlearn.html", read, context)

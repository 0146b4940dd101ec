"""Localize: which components hold the chosen facts."""

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
from app.method_groups import grouped
from worker.contract.menu import Announcement
from worker.engine.client import Engine

NAV = ("Localize", "/localize")
WEIGHTS = (("", "as stored"), ("8bit", "in 8 bits, for less memory"))
"""The values of `load_in`, as the form names them."""


def read(form: Typed, engine: Engine, menu: Announcement) -> tuple[dict[str, Any], Problems]:
    """Read the form as a spec."""
    method, options, problems = read_method(form, menu, "localization")
    spec = {
        "kind": "localize",
        "model": collect(problems, read_model, form.get("model", "demo"), engine.store),
        "facts": collect(problems, read_facts, form),
        "method": form.get("method") or method.name,
        "options": options,
        "seed": collect(problems, read_seed, form),
        **read_dtype(form),
    }
    if load_in := form.get("load_in"):
        spec["load_in"] = load_in
    return spec, problems


def context(form: Typed, engine: Engine, menu: Announcement) -> dict[str, Any]:
    """What the form shows."""
    method = chosen_method(form, menu, "localization")
    few, more = option_fields(form, method)
    return {
        **subject(form, engine.store, menu),
        "weights": WEIGHTS,
        "method": method,
        "methods": grouped(menu.methods, "localization"),
        "few": few,
        "more": more,
    }


router = experiment_routes("localize", "/localize", "pages/localize.html", read, context)

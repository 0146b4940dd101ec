"""Finds methods: one file in a folder is one method.

A method's module has `TITLE`, `Options` and one function named after its kind (`localize`,
`unlearn`, `evaluate`, `explore`); `PAPER` is optional, and so are `NEEDS`, what it needs of a
model's architecture, `SUGGESTS`, whether a localization chooses components by a rule of its own,
`memory_beside`, what it takes beside what every run of its kind does, and `CHECKS_FIRST`, of an
evaluation that refuses what it cannot measure before it asks the models for the first time, which
it does through `BeforeAfter`: a preflight goes as far and refuses the same. The module's
docstring says what it measures or does; its first sentence is the summary on the form. Files whose
names begin with `_` are shared code, not methods. `LETHE_PLUGINS` names a folder whose subfolders
of the same names are searched too.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import yaml

from worker.contract.base import Options, unknown
from worker.contract.menu import MethodInfo, MethodKind
from worker.contract.plugins import public_modules

FUNCTIONS: dict[str, str] = {
    "localization": "localize",
    "unlearning": "unlearn",
    "evaluation": "evaluate",
    "explore": "explore",
}


@dataclass(frozen=True)
class Method:
    """A found method: its announcement, its options' class and its function."""

    info: MethodInfo
    options: type[Options]
    function: Callable[..., Any]
    memory_beside: Callable[..., int] | None = None
    """Where it has one, bytes beside what every run of its kind takes: of an unlearning method from
    (model, mask, options), of an evaluation from (model, options, number of facts)."""
    checks_first: bool = False
    """Of an evaluation: does it refuse all that it cannot measure before it asks a model?"""


def methods(kind: MethodKind) -> dict[str, Method]:
    """Every method of a kind, by name."""
    return {m.info.name: m for m in (_method(kind, module) for module in modules(kind))}


def method(kind: MethodKind, name: str, field: str = "method") -> Method:
    """The method of this name; raise UserError that names the nearest and lists all."""
    found = methods(kind)
    if name not in found:
        raise unknown(
            f"{kind} method" if kind != "evaluation" else kind, name, sorted(found), field
        )
    return found[name]


def all_methods() -> list[Method]:
    """Every method of every kind."""
    return [found for kind in get_args(MethodKind) for found in methods(kind).values()]


def modules(folder: str) -> list[ModuleType]:
    """Import every public module in a folder of core and in the plugins' folder of that name.

    `folder` is dotted where it lies deeper, as `models.recipes`.
    """
    try:
        package = importlib.import_module(f"worker.core.{folder}")
    except ModuleNotFoundError as error:
        if error.name != f"worker.core.{folder}":
            raise
        return []
    found = public_modules(package, folder.replace(".", "/"))
    return [importlib.import_module(f"worker.core.{folder}.{module.name}") for module in found]


def summary_of(module: ModuleType) -> str:
    """The first sentence of a module's docstring, on one line."""
    return " ".join((module.__doc__ or "").strip().split("\n\n")[0].split())


def limits_of(module: ModuleType) -> str:
    """What a module's docstring says after "Limits:", to the end of that paragraph."""
    _, _, rest = (module.__doc__ or "").partition("Limits:")
    words = " ".join(rest.split("\n\n")[0].replace("`", "").split())
    return words[:1].upper() + words[1:]


@cache
def _formulas() -> dict[str, dict[str, dict[str, str]]]:
    """What methods compute and take, in words for the handbook, by kind and name."""
    found: dict[str, dict[str, dict[str, str]]] = yaml.safe_load(
        Path(__file__).with_name("formulas.yaml").read_text(encoding="utf-8")
    )
    return found


@cache
def _method(kind: MethodKind, module: ModuleType) -> Method:
    """Describe a module once: the options' schemas of all methods take a fifth of a second."""
    name = module.__name__.rpartition(".")[2]
    for attribute in ("TITLE", "Options", FUNCTIONS[kind]):
        if not hasattr(module, attribute):
            raise TypeError(f"{module.__file__} has no {attribute}; every {kind} file needs one")
    told = _formulas().get(kind, {}).get(name, {})
    return Method(
        info=MethodInfo(
            kind=kind,
            name=name,
            title=module.TITLE,
            summary=summary_of(module),
            limits=limits_of(module),
            paper=getattr(module, "PAPER", ""),
            formula=getattr(module, "FORMULA", told.get("formula", "")),
            cost=getattr(module, "COST", told.get("cost", "")),
            options=module.Options.model_json_schema(),
            needs=getattr(module, "NEEDS", ()),
            suggests=getattr(module, "SUGGESTS", False),
        ),
        options=module.Options,
        function=getattr(module, FUNCTIONS[kind]),
        memory_beside=getattr(module, "memory_beside", None),
        checks_first=getattr(module, "CHECKS_FIRST", False),
    )

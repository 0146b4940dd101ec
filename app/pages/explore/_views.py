"""The page's views in their order: what each depends on, and what its template is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlencode

from app.drawing.ask import choose
from app.drawing.drawing import Offer, Source
from app.figures.lens_grid import AFTER, SHADES
from app.figures.patching_map import DIRECTIONS, METRICS, SCALES, SITES
from app.pages.explore._lens import WHICH, cell_of, lens_panels
from app.pages.explore._patching import (
    NO_PAIR,
    Chosen,
    cell_words,
    chosen_map,
    map_panels,
    need_pair,
    patched,
    read_cells,
)
from app.pages.explore._predictions import SHOWN, K, prompts_of
from app.pages.explore._subject import NAMES, Asker, Subject, ask
from worker.contract.base import unknown
from worker.contract.errors import NotFound
from worker.contract.result import Result

Asked = Mapping[str, str]
N_NEW = 20
"""Tokens that the continuation has."""
WINDOW = 64
"""Tokens that a grid shows at once."""


def _maps(asker: Asker, subject: Subject, asked: Asked) -> list[Result]:
    need_pair(subject)
    return ask(asker, subject, "patching", **chosen_map(asked).options(), **window_of(asked))


def _patching(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    if not subject.has_pair:  # as the page is opened first: nothing is wrong yet
        return {"missing": NO_PAIR}
    found = _maps(asker, subject, asked)
    titles = ["base", "edited"] if subject.beside else [""]
    chosen = chosen_map(asked)
    return map_choices(chosen) | {"grids": map_panels(found, titles, chosen)}


def map_choices(chosen: Chosen) -> dict[str, Any]:
    """What the map's choosers offer, before anything is computed."""
    choices = {
        "map": list(SITES.items()),
        "metric": list(METRICS.items()),
        "scale": list(SCALES.items()),
        "direction": list(DIRECTIONS.items()),
    }
    shown = {"chosen": chosen, "choices": choices, "grids": None}
    return {**shown, "is_partial": False, "missing": ""}


def _patch(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The cells of the address, patched together."""
    cells = read_cells(asked.get("cells", ""))
    if not cells:
        return {"cells": []}
    need_pair(subject)
    chosen = chosen_map(asked)
    options = {"cells": cells, "direction": chosen.direction, "k": SHOWN, "n_new": N_NEW}
    found = ask(asker, subject, "patch", **options)
    tokens = found[0].view["prompts"][0]["tokens"]
    names = asked["cells"].split(",")
    return {
        "cells": [
            {
                "words": cell_words(cell, tokens),
                "without": urlencode({"cells": ",".join(n for n in names if n != name)}),
            }
            for name, cell in zip(names, cells, strict=True)
        ],
        "sides": [patched(one, chosen) for one in found],
        "problems": list(dict.fromkeys(p for one in found for p in one.view["problems"])),
    }


@dataclass(frozen=True)
class View:
    """One view; it is loaded again when one of the address' parts that it needs changes."""

    name: str
    title: str
    make: Callable[[Asker, Subject, Asked], dict[str, Any]]
    own: tuple[str, ...] = ()
    figure: str = ""
    """The figure in `app/figures` that draws the same numbers, with its table and CSV."""
    source: Callable[[Asker, Subject, Asked], list[Result]] | None = None
    """The result that the figure draws."""
    is_streamed: bool = False
    """Whether it is shown as far as it is computed."""
    needs_pair: bool = False
    """Whether its figure needs a corrupted prompt, or noise."""

    @property
    def needs(self) -> str:
        """Names in the address, with spaces between them."""
        return " ".join((*NAMES, *self.own))


def _predicted(asker: Asker, subject: Subject, _: Asked) -> list[Result]:
    k = K if subject.beside else SHOWN
    return ask(asker, subject, "predictions", k=k, n_new=N_NEW)


def _predictions(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    found = _predicted(asker, subject, asked)
    return {
        "prompts": prompts_of(found),
        "view": found[0].view,
        "problems": list(dict.fromkeys(p for one in found for p in one.view["problems"])),
    }


def _lenses(asker: Asker, subject: Subject, asked: Asked) -> list[Result]:
    options = {"which": choose(asked, "which", list(WHICH)), "top": 5} | window_of(asked)
    return ask(asker, subject, "lens", **options)


def _lens(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    found = _lenses(asker, subject, asked)
    titles = ["base", "edited"] if subject.beside else [""]
    return {
        "grids": lens_panels(found, titles, asked),
        "choices": {
            "shade": list(SHADES.items()),
            "after": list(AFTER.items()),
            "which": list(WHICH.items()) if subject.has_pair else [],
        },
        "window": WINDOW,
    }


def window_of(asked: Asked) -> dict[str, Any]:
    """The option that shows a long prompt's tokens from the one that the address names on."""
    first = asked.get("from", "")
    if not first.isdecimal() or len(first) > 6:
        return {}
    return {"positions": [int(first), int(first) + WINDOW]}


def _cell(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The selected layer and token, read by the lens."""
    layer, _, token = asked.get("at", "").partition(".")
    if not layer or not token.isdecimal() or len(token) > 6:
        return {"cell": None}
    found = _lenses(asker, subject, asked)
    which = found[0].view["which"]
    prompt = next(p for p in found[0].view["prompts"] if p["name"] == which)
    place = int(token)
    if place >= len(prompt["tokens"]):
        return {"cell": None}
    return {
        "cell": {"layer": layer, "token": place, "text": prompt["tokens"][place]["text"]},
        "sides": [cell_of(one, layer, place) for one in found],
    }


VIEWS = (
    View("predictions", "What it says next", _predictions, (), "top_tokens", _predicted),
    View(
        "lens", "What each layer would say", _lens, ("shade", "after", "which", "from"),
        "lens_grid", _lenses,
    ),
    View("cell", "The selected cell", _cell, ("at", "which", "from")),
    View(
        "patching", "What a state carries", _patching,
        ("map", "metric", "scale", "direction", "from"), "patching_map", _maps,
        is_streamed=True, needs_pair=True,
    ),
    View("patch", "Patched", _patch, ("cells", "direction")),
)  # fmt: skip
_BY_NAME = {view.name: view for view in VIEWS}


def context(name: str, asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """What a view's template shows; NotFound for an unknown view, UserError as the worker says."""
    if name not in _BY_NAME:
        raise NotFound(unknown("view", name, list(_BY_NAME)).message, field="view")
    return _BY_NAME[name].make(asker, subject, asked)


def pictures(name: str, subject: Subject, asked: Asked) -> list[dict[str, Any]]:
    """What the template of a figure needs, for each of the subject's models."""
    view = _BY_NAME[name]
    if not view.figure or (view.needs_pair and not subject.has_pair):
        return []
    own = {part: value for part in view.own if (value := asked.get(part))}
    sides = ("", "beside") if subject.beside else ("",)
    return [
        {
            "id": f"figure-{name}{'-' if side else ''}{side}",
            "address": f"/explore/figures/{name}",
            "fixed": subject.query(**own, side=side),
            "offer": Offer(view.figure, view.title),
            "is_live": False,
        }
        for side in sides
    ]


def source_of(name: str, asker: Asker, subject: Subject, asked: Asked) -> tuple[str, Source]:
    """A view's figure and what it draws; `side=beside` is the model beside. Raises NotFound."""
    view = _BY_NAME.get(name)
    if view is None or view.source is None:
        known = [one.name for one in VIEWS if one.source is not None]
        raise NotFound(unknown("view with a figure", name, known).message, field="view")
    found = view.source(asker, subject, asked)
    return view.figure, Source(found[-1 if asked.get("side") == "beside" else 0], _no_file)


def _no_file(name: str) -> BinaryIO:
    raise NotFound(f"An answer that was only looked at has no file {name!r}.")

"""What each view's template is given, and the results that its figure draws."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from app.drawing.ask import choose
from app.figures.head_pattern import WEIGHED
from app.figures.heads_grid import BY, numbers
from app.figures.lens_grid import AFTER, SHADES
from app.figures.patching_map import DIRECTIONS, METRICS, SCALES, SITES
from app.pages.explore._components import decomposed
from app.pages.explore._heads import heads_panels, opened, patterns, read_head
from app.pages.explore._leaving import leaving
from app.pages.explore._lens import WHICH, WINDOW, cell_of, lens_panels
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
from app.pages.explore._predictions import SHOWN, K, continued_prompts, prompts_of
from app.pages.explore._subject import Asker, Subject, ask
from app.pages.explore._switched import switched, with_one
from worker.contract.errors import NotFound
from worker.contract.result import Result

Asked = Mapping[str, str]
TWICE = "scale.neuron.{}.{}@{}*2"
N_NEW = 20
"""Tokens that the continuation has."""


def maps(asker: Asker, subject: Subject, asked: Asked) -> list[Result]:
    """Ask the map of patches."""
    need_pair(subject)
    return ask(asker, subject, "patching", **chosen_map(asked).options(), **window_of(asked))


def show_patching(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The map of patches, or what it waits for."""
    if not subject.has_pair:  # as the page is opened first: nothing is wrong yet
        return {"missing": NO_PAIR}
    found = maps(asker, subject, asked)
    chosen = chosen_map(asked)
    return map_choices(chosen) | {"grids": map_panels(found, sides_of(subject), chosen)}


def map_choices(chosen: Chosen) -> dict[str, Any]:
    """What the map's choosers offer, before anything is computed."""
    choices = {
        "map": list(SITES.items()),
        "metric": list(METRICS.items()),
        "scale": list(SCALES.items()),
        "direction": list(DIRECTIONS.items()),
    }
    shown = {"chosen": chosen, "choices": choices, "grids": None}
    return {**shown, "is_partial": False, "missing": "", "message": ""}


def patches(asker: Asker, subject: Subject, asked: Asked, n_new: int = N_NEW) -> list[Result]:
    """Ask the cells of the address, patched together."""
    need_pair(subject)
    cells, direction = read_cells(asked.get("cells", "")), chosen_map(asked).direction
    if not cells:
        raise NotFound("Nothing is patched; click a cell of the map.", field="cells")
    return ask(asker, subject, "patch", cells=cells, direction=direction, k=SHOWN, n_new=n_new)


def show_patch(asker: Asker, subject: Subject, asked: Asked, n_new: int = N_NEW) -> dict[str, Any]:
    """What the model says with the cells of the address patched together; 0 `n_new`: at once."""
    cells = read_cells(asked.get("cells", ""))
    if not cells:
        return {"cells": []}
    chosen, found = chosen_map(asked), patches(asker, subject, asked, n_new)
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
        "goes_on": n_new > 0,
    }


def _whiches(subject: Subject) -> list[tuple[str, str]]:
    return list(WHICH.items()) if subject.has_pair else []


def parts(asker: Asker, subject: Subject, asked: Asked) -> list[Result]:
    """Ask the parts of the logits."""
    return ask(asker, subject, "decomposition", which=choose(asked, "which", list(WHICH)))


def show_decomposition(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The bars of a logit."""
    found = parts(asker, subject, asked)
    return {
        "bars": decomposed(found, asked),
        "whiches": _whiches(subject),
    }


def _all_heads(asker: Asker, subject: Subject, asked: Asked) -> list[Result]:
    return ask(asker, subject, "heads", which=choose(asked, "which", list(WHICH)))


def heads_by(asker: Asker, subject: Subject, asked: Asked) -> list[Result]:
    """The result that has the number by which heads are shown."""
    if asked.get("by") != "patching":
        return _all_heads(asker, subject, asked)
    need_pair(subject)
    return ask(asker, subject, "patching", **chosen_map({"map": "head"}).options())


def show_heads(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The grid of heads."""
    known = _all_heads(asker, subject, asked)[0]
    there = {*numbers(known), *(["patching"] if subject.has_pair else [])}
    offered = [one for one in BY if one in there]
    by, problems = choose(asked, "by", list(BY)), []
    if by not in offered:  # left over from a subject that had it
        problems = [f"There is no {BY[by]} of this subject; the {BY[offered[0]]} is shown."]
        by = offered[0]
    return {
        "grids": heads_panels(heads_by(asker, subject, {**asked, "by": by}), sides_of(subject), by),
        "problems": problems,
        "sharing": known.view.get("sharing") or "",
        "bys": [(one, BY[one]) for one in offered],
        "by": by,
        "whiches": _whiches(subject) if by != "patching" else [],
    }


def sides_of(subject: Subject) -> list[str]:
    """What is written above each model's grid."""
    models = [subject.model, subject.beside] if subject.beside else [""]
    are_edited = [one.startswith("edit:") for one in models]
    return ["base", "edited"] if are_edited == [False, True] else models


def one_head(asker: Asker, subject: Subject, asked: Asked) -> list[Result]:
    """Ask the head that is open."""
    head = read_head(asked.get("head", ""))
    if head is None:
        raise NotFound("No head is open; click one of the grid.", field="head")
    return ask(asker, subject, "head", layer=head[0], head=head[1])


def show_head(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The open head."""
    head = read_head(asked.get("head", ""))
    if head is None:
        return {"head": None}
    found = one_head(asker, subject, asked)
    return {
        "head": head,
        "names": BY,
        "sides": [opened(one) for one in found],
        "off": with_one(subject, f"zero.head.{head[0]}.{head[1]}"),
        "grids": patterns(found, sides_of(subject), asked),
        "weighs": list(WEIGHED.items()),
        "whiches": _whiches(subject) if subject.beside else [],
    }


def some_neurons(asker: Asker, subject: Subject, asked: Asked) -> list[Result]:
    """Ask the neurons of the selected cell's MLP."""
    place = _place(asked)
    if place is None:
        raise NotFound("No cell is selected, so no MLP is.", field="at")
    which = choose(asked, "which", list(WHICH))
    return ask(asker, subject, "neurons", layer=place[0], token=place[1], which=which)


def show_neurons(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The neurons of the selected cell."""
    place = _place(asked)
    if place is None:
        return {"place": None}
    found = some_neurons(asker, subject, asked)
    return {
        "place": place,
        "sides": [one.view["neurons"] for one in found],
        "switches": {
            one["neuron"]: {
                kind: with_one(subject, text.format(place[0], one["neuron"], place[1]))
                for kind, text in (("zero", "zero.neuron.{}.{}@{}"), ("twice", TWICE))
            }
            for found_of in found
            for one in found_of.view["neurons"]
        },
    }


def show_leaving(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The mask, the links and the files that the chosen can leave as."""
    return {"leaving": leaving(asker.engine.store, subject, asked)}


def show_switched(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The list of interventions."""
    return switched(asker.engine.store, subject, asked)


def _place(asked: Asked) -> tuple[int, int] | None:
    """Layer and token of the selected cell; None without one, and before the first block."""
    layer, _, token = asked.get("at", "").partition(".")
    if not (layer.isdecimal() and token.isdecimal()) or len(layer) > 4 or len(token) > 6:
        return None
    return int(layer), int(token)


def predicted(asker: Asker, subject: Subject, _: Asked) -> list[Result]:
    """Ask what comes next."""
    k = K if subject.beside else SHOWN
    return ask(asker, subject, "predictions", k=k, n_new=0)


def continued(asker: Asker, subject: Subject, _: Asked) -> list[Result]:
    """Ask how each prompt goes on: token by token, so apart from what comes first."""
    return ask(asker, subject, "predictions", k=1, n_new=N_NEW)


def show_continuation(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """How each prompt goes on in each model."""
    return {"prompts": continued_prompts(continued(asker, subject, asked)), "n_new": N_NEW}


def show_predictions(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """What each prompt and model says next."""
    found = predicted(asker, subject, asked)
    return {
        "prompts": prompts_of(found),
        "view": found[0].view,
        "problems": list(dict.fromkeys(p for one in found for p in one.view["problems"])),
    }


def lenses(asker: Asker, subject: Subject, asked: Asked) -> list[Result]:
    """Ask the lens."""
    return ask(asker, subject, "lens", **lens_options(asked))


def lens_options(asked: Asked) -> dict[str, Any]:
    """The options that are the lens's own."""
    after = choose(asked, "after", list(AFTER))
    return {"which": choose(asked, "which", list(WHICH)), "after": after, "top": 5} | window_of(
        asked
    )


def show_lens(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The lens grid."""
    return lens_context(lenses(asker, subject, asked), subject, asked) | {"is_partial": False}


def lens_context(found: list[Result], subject: Subject, asked: Asked) -> dict[str, Any]:
    """What the lens's template shows of answers, whole or in part."""
    return {
        "grids": lens_panels(found, sides_of(subject), asked),
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


def show_cell(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The selected layer and token, read by the lens."""
    layer, _, token = asked.get("at", "").partition(".")
    if not layer or not token.isdecimal() or len(token) > 6:
        return {"cell": None}
    which, place = choose(asked, "which", list(WHICH)), int(token)
    prompts = predicted(asker, subject, asked)[0].view["prompts"]
    prompt = next((one for one in prompts if one["name"] == which), None)
    if prompt is None or place >= len(prompt["tokens"]):
        return {"cell": None}
    # The token alone, so that it does not wait for the grid.
    only = {"which": which, "positions": [place, place + 1], "top": 5}
    found = ask(asker, subject, "lens", **only)
    sides = [cell_of(one, layer, place) for one in found]
    if not any(sides):
        raise NotFound(f"There is no layer {layer[:20]!r}; choose a cell of the grid.", field="at")
    return {
        "cell": {"layer": layer, "token": place, "text": prompt["tokens"][place]["text"]},
        "sides": sides,
        "switches": [
            (words, with_one(subject, f"zero.{site}.{layer}@{place}"))
            for site, words in (("attn", "Zero its attention"), ("mlp", "Zero its MLP"))
            if layer.isdecimal()
        ],
    }

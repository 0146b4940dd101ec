"""Compare: runs of one kind side by side, by what differs in settings, numbers and figures."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.backend import StoreDep
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.drawing.sites import site_title
from app.figure_files import answer
from app.pages.runs._comparison import LIMIT, Compared, Group, groups, named
from app.pages.runs._comparison_figures import (
    AGREEMENTS,
    KINDS,
    agreement,
    component_panels,
    curve_names,
    overlaid,
    probed_answers,
    probed_panels,
    role_panels,
    role_sites,
)
from app.templating import render
from worker.contract.base import unknown
from worker.contract.errors import NotFound, UserError
from worker.store.store import Store

NAV = ("Compare", "/compare")
router = APIRouter(prefix="/compare")

RunIds = Annotated[list[str] | None, Query(alias="run")]
FIGURES: dict[str, Callable[[list[Compared], Mapping[str, str]], Drawing]] = {
    "components": lambda compared, ask: component_panels(compared),
    "roles": lambda compared, ask: role_panels(compared, _of(ask, role_sites(compared))),
    "probed": lambda compared, ask: probed_panels(compared, _of(ask, probed_answers(compared))),
    "agreement": lambda compared, ask: agreement(
        compared, ask.get("by") or "rank", ask.get("among") or "all"
    ),
    "curves": lambda compared, ask: overlaid(compared, _of(ask, curve_names(compared))),
}
EVERY_KIND = "every"
WORDS = {
    "localize": "localizations",
    "unlearn": "edits",
    "evaluate": "evaluations",
    "study": "studies",
    "explore": "looks into the model",
    "export": "exported models",
    "add": "added models",
}
"""Kinds of runs, as a group of them is called."""


def _of(ask: Mapping[str, str], known: list[str]) -> str:
    return ask.get("of") or next(iter(known), "")


@router.get("")
def show(
    request: Request, store: StoreDep, run: RunIds = None, search: str = "", kind: str = ""
) -> Response:
    """Choose runs; with two or more of a kind, compare them."""
    chosen = list(dict.fromkeys(run or []))
    found = groups(read_compared(store, chosen))
    shown = kind or (found[0].kind if found else _newest_kind(store))
    listed = store.runs(
        state="done",
        search=search or None,
        kind=shown if shown in WORDS else None,
        limit=60,
    )
    return render(
        request,
        "pages/compare.html",
        chosen=chosen,
        groups=[(group, _figures(group)) for group in found if not group.is_alone],
        alone=[group.compared[0] for group in found if group.is_alone],
        runs=listed,
        elsewhere=[one for one in chosen if one not in {run.id for run in listed}],
        kind=shown,
        kinds=[*WORDS.items(), (EVERY_KIND, "every kind")],
        words=WORDS,
        search=search,
        limit=LIMIT,
    )


def _newest_kind(store: Store) -> str:
    """The kind that a reader who names no run most likely compares: the newest finished run's."""
    newest = store.runs(state="done", limit=1)
    return newest[0].kind if newest else EVERY_KIND


def read_compared(store: Store, ids: list[str]) -> list[Compared]:
    """The finished runs of these ids; UserError for one without a result."""
    if len(ids) > LIMIT:
        raise UserError(
            f"{len(ids)} runs are chosen; at most {LIMIT} can be compared.", field="run"
        )
    runs = [store.run(run_id) for run_id in ids]
    compared = []
    for name, run in zip(named(runs), runs, strict=True):
        result = store.result(run.id)
        if result is None:
            raise UserError(f"The run {run.id!r} is {run.state} and has no result.", field="run")
        compared.append(Compared(name, run, Source(result, _opener(store, run.id))))
    return compared


def _opener(store: Store, run_id: str) -> Callable[[str], Any]:
    return lambda file: store.artifacts.open(f"runs/{run_id}/{file}")


def _offers(compared: list[Compared]) -> list[Offer]:
    n_scored = sum("components" in one.result.arrays for one in compared)
    offers = []
    if sites := role_sites(compared):
        named = tuple((site, site_title(site)) for site in sites)
        control = Control("of", "Where", named, sites[0])
        offers.append(Offer("roles", "Token role × layer side by side", controls=(control,)))
    if n_scored:
        offers.append(Offer("components", "Components side by side"))
    if n_scored > 1:
        controls = (
            Control("by", "Measured by", tuple(AGREEMENTS.items()), "rank"),
            Control("among", "Among", tuple(KINDS.items()), "all"),
        )
        offers.append(Offer("agreement", "Agreement of localizations", controls=controls))
    if answers := probed_answers(compared):
        named = tuple((n, n.rpartition(".")[2].replace("_", " ")) for n in answers)
        control = Control("of", "Answer", named, answers[0])
        offers.append(Offer("probed", "Facts × formats side by side", controls=(control,)))
    if curves := curve_names(compared):
        words = tuple((name, name.removeprefix("curve.").replace("_", " ")) for name in curves)
        offers.append(
            Offer("curves", "Curves overlaid", controls=(Control("of", "Curve", words, curves[0]),))
        )
    return offers


def _figures(group: Group) -> list[dict[str, Any]]:
    return [
        {
            "id": f"figure-{group.kind}-{offer.figure}",
            "address": f"/compare/figures/{offer.figure}",
            "fixed": urlencode([("run", one.run.id) for one in group.compared]),
            "offer": offer,
            "is_live": False,
        }
        for offer in _offers(list(group.compared))
    ]


@router.get("/figures/{figure}.{ending}")
def figure_file(
    request: Request, figure: str, ending: str, store: StoreDep, run: RunIds = None
) -> Response:
    """One figure's file."""

    def draw() -> Drawing:
        if figure not in FIGURES:
            raise NotFound(unknown("figure", figure, list(FIGURES)).message, field="figure")
        compared = read_compared(store, list(dict.fromkeys(run or [])))
        if not compared:
            raise UserError("No run is chosen; expected at least one, as run=ID.", field="run")
        return FIGURES[figure](compared, request.query_params)

    return answer(request, ending, f"compare_{figure}", draw)

"""Compare: any runs side by side, by what differs in their settings, numbers and figures."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app.backend import StoreDep
from app.drawing.drawing import Control, Drawing, Offer, Source
from app.figure_files import answer
from app.pages.runs._comparison import LIMIT, Compared, named, numbers, settings
from app.pages.runs._comparison_figures import (
    AGREEMENTS,
    KINDS,
    agreement,
    component_panels,
    curve_names,
    overlaid,
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
    "agreement": lambda compared, ask: agreement(
        compared, ask.get("by") or "rank", ask.get("among") or "all"
    ),
    "curves": lambda compared, ask: overlaid(
        compared, ask.get("of") or next(iter(curve_names(compared)), "")
    ),
}


@router.get("")
def show(request: Request, store: StoreDep, run: RunIds = None, search: str = "") -> Response:
    """Choose runs; with two or more, compare them."""
    chosen = list(dict.fromkeys(run or []))
    compared = read_compared(store, chosen)
    known: dict[str, Any] = {"compared": compared}
    if len(compared) > 1:
        known |= {
            "settings": settings(compared),
            "numbers": numbers(compared),
            "figures": _figures(compared),
        }
    return render(
        request,
        "pages/compare.html",
        chosen=chosen,
        runs=store.runs(state="done", search=search or None, limit=60),
        search=search,
        limit=LIMIT,
        **known,
    )


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


def _figures(compared: list[Compared]) -> list[dict[str, Any]]:
    n_scored = sum("components" in one.result.arrays for one in compared)
    offers = []
    if n_scored:
        offers.append(Offer("components", "Components side by side"))
    if n_scored > 1:
        controls = (
            Control("by", "Measured by", tuple(AGREEMENTS.items()), "rank"),
            Control("among", "Among", tuple(KINDS.items()), "all"),
        )
        offers.append(Offer("agreement", "Agreement of localizations", controls=controls))
    if curves := curve_names(compared):
        words = tuple((name, name.removeprefix("curve.").replace("_", " ")) for name in curves)
        offers.append(
            Offer("curves", "Curves overlaid", controls=(Control("of", "Curve", words, curves[0]),))
        )
    return [
        {
            "id": f"figure-{offer.figure}",
            "address": f"/compare/figures/{offer.figure}",
            "fixed": urlencode([("run", one.run.id) for one in compared]),
            "offer": offer,
            "is_live": False,
        }
        for offer in offers
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

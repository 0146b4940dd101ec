"""A run's result: what was found in words and figures, and every figure's data, table and CSV.

While a run computes, the same addresses give what has come of its result so far.
"""

from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from app import leaving
from app.backend import EngineDep, StoreDep
from app.drawing.drawing import Drawing, Offer, Source
from app.drawing.find import draw, offers
from app.drawing.live import draw_live_curves, draw_live_grid
from app.figure_files import answer
from app.figure_frames import PARTIALS, figure_of
from app.mask_editor import Editor, editor, mask_asked
from app.probe_table import PAGE, aggregates, card_of, fact_page
from app.templating import render
from app.verdicts import verdict_of
from app.walk import walk_of
from worker.contract.errors import NotFound, UserError
from worker.contract.menu import Announcement
from worker.contract.progress import FINAL_STATES
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.engine.client import Engine
from worker.store.store import Store

router = APIRouter(prefix="/runs/{run_id}")

METHODS = {"localize": "localization", "unlearn": "unlearning", "evaluate": "evaluation"}
"""Kinds of runs, and of the methods that they use."""
LIVE = {
    "localize": [Offer("live_grid", "As it is computed")],
    "unlearn": [
        Offer("live_probability", "Probabilities while training"),
        Offer("live_loss", "Losses while training"),
    ],
}


@router.get("/result")
def show(request: Request, run_id: str, engine: EngineDep) -> Response:
    """The part of a run's page that shows its result, or what has come of it so far."""
    store = engine.store
    record, result = store.run(run_id), store.result(run_id)
    live = came(store, record) if record.state in FINAL_STATES else LIVE.get(record.kind, [])
    return render(
        request,
        "pages/result.html",
        run=record,
        result=result,
        live=[figure_of(record, offer) for offer in live],
        **(_figures(record, result, engine.store) if result else {}),
        **(_more(record, result, engine, mask_asked(request)) if result else {}),
    )


def came(store: Store, record: RunRecord) -> list[Offer]:
    """What had come of a run that ended without a result: its partial figures."""
    if record.has_result or record.kind not in LIVE:
        return []
    events = store.events(record.id, limit=100_000)
    names = {event.name for _, event in events if event.type == "partial"}
    return [offer for offer in LIVE[record.kind] if PARTIALS[offer.figure] in names]


def _figures(record: RunRecord, result: Result, store: Store) -> dict[str, Any]:
    """The one figure that shows the answer, and the others; the mask's own stands beside it.

    The first is drawn here already: what follows it on the page stands still when it comes.
    """
    has_mask = "components" in result.arrays
    shown = [one for one in offers(result) if not (has_mask and one.clickable)]
    if not shown:
        return {"first": None, "figures": []}
    return {
        "first": figure_of(record, shown[0], drawn_first(shown[0], record.id, result, store)),
        "figures": [figure_of(record, one) for one in shown[1:]],
    }


def drawn_first(offer: Offer, run_id: str, result: Result, store: Store) -> Drawing | None:
    """A figure as it is before a reader chooses anything; None where the figure says why not."""
    asked = {c.name: c.value for c in offer.controls if c.value} | dict(offer.fixed)
    with suppress(UserError):
        return draw(offer.figure, source_of(run_id, result, store), asked)
    return None


def _limits(record: RunRecord, announcement: Announcement | None) -> list[tuple[str, str]]:
    """What cannot be concluded from the methods that a run used, by title."""
    if announcement is None or record.kind not in METHODS:
        return []
    names = record.spec.get("evaluations") or [record.spec.get("method")]
    return [
        (method.title, method.limits)
        for method in announcement.methods
        if method.kind == METHODS[record.kind] and method.name in names and method.limits
    ]


def _more(
    record: RunRecord, result: Result, engine: Engine, asked: dict[str, Any]
) -> dict[str, Any]:
    """What only some kinds of result show; `asked` is what the address says of the mask."""
    walk = walk_of(engine.store, record)
    edit = record.id if record.kind == "unlearn" else walk.edit
    return {
        "mask": _editor(engine.store, record.id, asked) if "components" in result.arrays else None,
        "probes": aggregates(result),
        "edit": edit,
        "verdict": verdict_of(engine.store, edit) if edit else None,
        "card": card_of(result),
        "limits": _limits(record, engine.store.announcement()),
        "children": engine.store.children(record.id),
        "walk": walk,
        "leaving": {
            "offers": leaving.offers(engine.store, record, result),
            "model": leaving.model_of(engine.store, record),
        },
    }


def _editor(store: Store, run_id: str, asked: dict[str, Any]) -> Editor | None:
    """The mask editor as the address has it; an address that says what cannot be opens it as new.

    The result is shown all the same, and the editor says what was wrong.
    """
    try:
        return editor(store, run_id, asked)
    except UserError as error:
        found = editor(store, run_id, {})
        return found and replace(found, error=error.message)


@router.get("/facts")
def facts(
    request: Request,
    run_id: str,
    store: StoreDep,
    evaluation: str,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> Response:
    """A page of an evaluation's facts, worst first."""
    result = store.result(run_id)
    if result is None:
        raise NotFound(f"The run {run_id!r} has no result yet.")
    asked = {k: v for k, v in request.query_params.items() if k != "offset"}
    page = fact_page(result, evaluation, asked, offset)
    address = f"/runs/{run_id}/facts"
    return render(
        request,
        "fragments/probe_facts.html",
        page=page,
        run_id=run_id,
        address=address,
        asked=asked,
        formats=[(name, name.replace("_", " ")) for name in page.formats],
        offset=offset,
        size=PAGE,
        url=lambda start: f"{address}?{urlencode({**asked, 'offset': start})}",
    )


@router.get("/figures/{figure}.{ending}")
def figure_file(
    request: Request, run_id: str, figure: str, ending: str, store: StoreDep
) -> Response:
    """One figure's file; 204 while nothing has come yet."""
    name = "_".join([run_id, figure, *request.query_params.values()])
    return answer(request, ending, name[:100], lambda: _drawing(request, run_id, figure, store))


def _drawing(request: Request, run_id: str, figure: str, store: Store) -> Drawing | None:
    if figure in PARTIALS:
        return _live(run_id, figure, store)
    result = store.result(run_id)
    if result is None:
        raise NotFound(f"The run {run_id!r} has no result yet, so there is no {figure!r} to draw.")
    return draw(figure, source_of(run_id, result, store), dict(request.query_params))


def source_of(run_id: str, result: Result, store: Store) -> Source:
    """A run's result as the figures read it."""
    return Source(result, lambda file: store.artifacts.open(f"runs/{run_id}/{file}"))


def _live(run_id: str, figure: str, store: Store) -> Drawing | None:
    record = store.run(run_id)
    wanted = PARTIALS[figure]
    events = store.events(run_id, limit=100_000)
    partials = [e.data for _, e in events if e.type == "partial" and e.name == wanted]
    if figure == "live_grid":
        return draw_live_grid(partials, _n_layers(record, store))
    return draw_live_curves(partials, figure.removeprefix("live_"))


def _n_layers(record: RunRecord, store: Store) -> int:
    model = record.spec["model"]
    base = model if isinstance(model, str) else model["base"]
    menu = store.announcement()
    return next((m.n_layers for m in menu.models if m.id == base), 0) if menu else 0

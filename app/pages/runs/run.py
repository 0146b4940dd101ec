"""One run: its state as it changes, its result, its settings, where it comes from, its log."""

import json
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app import stream
from app.backend import EngineDep, StoreDep
from app.downloads import attachment
from app.drawing.drawing import Drawing
from app.drawing.find import offers
from app.live import follow_run
from app.pages.runs.results import came, drawn_first
from app.pages.runs.runs import act
from app.sharing_form import seen_of
from app.submission import key_of_form, refuse_odd_text, submit
from app.templating import render, wants_fragment
from worker.contract.errors import NotFound
from worker.contract.progress import FINAL_STATES
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.engine.client import Engine
from worker.store.store import Store

router = APIRouter(prefix="/runs/{run_id}")

CHANGE = {"localize": "/localize", "unlearn": "/unlearn", "evaluate": "/probes"}
"""Where the form is that a kind of run was started from."""
_DONE = {"star": "Starred.", "unstar": "Star taken off.", "archive": "Archived."}


@router.get("")
def show(request: Request, run_id: str, store: StoreDep) -> Response:
    """The run's page; to htmx, the part that changes."""
    run = store.run(run_id)
    known = page(request, store, run)
    plain = None if wants_fragment(request) else _plain(store, run, known["result"])
    return render(request, "pages/run.html", block="body", plain=plain, **known)


def _plain(store: Store, run: RunRecord, result: Result | None) -> Drawing | None:
    """The first figure's numbers, for a browser that runs no scripts."""
    first = next(iter(offers(result)), None) if result else None
    return drawn_first(first, run.id, result, store) if result and first else None


def page(request: Request, store: Store, run: RunRecord) -> dict[str, Any]:
    """What the page shows."""
    return {
        "run": run,
        "seen": seen_of(request, store, "run", run.id, run),
        "is_open": run.state not in FINAL_STATES,
        "settings": _flat(run.spec),
        "spec_json": json.dumps(run.spec, indent=2, ensure_ascii=False),
        "log": store.log(run.id),
        "parents": [parent for one in run.parents if (parent := _found(store, one))],
        "children": store.children(run.id),
        "result": store.result(run.id) if run.has_result else None,
        "change": CHANGE.get(run.kind, ""),
        "came": run.state in FINAL_STATES and came(store, run),
    }


def _found(store: Store, run_id: str) -> RunRecord | None:
    try:
        return store.run(run_id)
    except NotFound:
        return None


def _flat(spec: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A spec as dotted names and short values."""
    rows: list[tuple[str, str]] = []
    for name, value in spec.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        elif value is not None:
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            rows.append((f"{prefix}{name}", words if len(words) <= 300 else f"{words[:300]}…"))
    return rows


@router.get("/stream")
async def events(request: Request, run_id: str, engine: EngineDep) -> Response:
    """What changes on the page, as server-sent pieces of HTML; resumable by Last-Event-ID."""
    await run_in_threadpool(engine.store.run, run_id)
    messages = follow_run(engine, run_id, stream.resume_after(request))
    return stream.respond(request, messages, engine.store, run_id)


@router.get("/spec.json")
def spec(run_id: str, store: StoreDep) -> Response:
    """The spec as a file, for `lethe run` and for the API."""
    text = json.dumps(store.run(run_id).spec, indent=2, ensure_ascii=False)
    return Response(text, media_type="application/json", headers=attachment(f"{run_id}.json"))


@router.post("/rename")
async def rename(request: Request, run_id: str, engine: EngineDep) -> Response:
    """Give the run a title and tags."""
    form = await request.form()
    title, tags = str(form.get("title", "")).strip()[:200], str(form.get("tags", ""))
    refuse_odd_text({"title": title, "tags": tags})

    def change() -> None:
        store = engine.store
        store.update_run(run_id, title=title or None, tags=[t.strip() for t in tags.split(",")])

    return await _answer(request, run_id, engine, change, "Saved.")


@router.post("/again")
async def again(request: Request, run_id: str, engine: EngineDep) -> Response:
    """Queue the same spec once more."""
    form = await request.form()

    def start() -> str:
        run = engine.store.run(run_id)
        key = key_of_form(form, run_id)
        return submit(engine, run.spec, title=run.title, tags=run.tags, key=key)

    new = await run_in_threadpool(start)
    return _go(request, f"/runs/{new}")


@router.post("/delete")
async def delete(request: Request, run_id: str, engine: EngineDep) -> Response:
    """Delete the run and go back to the list."""
    await run_in_threadpool(act, engine, run_id, "delete")
    return _go(request, "/runs")


@router.post("/do/{doing}")
async def do(request: Request, run_id: str, doing: str, engine: EngineDep) -> Response:
    """Star, unstar, archive, unarchive or cancel."""
    if doing not in ("star", "unstar", "archive", "unarchive", "cancel"):
        raise NotFound(f"A run cannot be asked to {doing[:40]!r}.")
    words = _DONE.get(doing, "")
    return await _answer(request, run_id, engine, lambda: act(engine, run_id, doing), words)


async def _answer(
    request: Request, run_id: str, engine: Engine, change: Callable[[], None], said: str
) -> Response:
    """Make a change, then show the run as it is now."""
    await run_in_threadpool(change)
    if not wants_fragment(request):
        return RedirectResponse(f"/runs/{run_id}", status_code=303)
    store = engine.store
    known = await run_in_threadpool(lambda: page(request, store, store.run(run_id)))
    headers = {"HX-Trigger": json.dumps({"lethe:say": {"value": said}})} if said else {}
    return render(request, "pages/run.html", block="head_of_run", headers=headers, **known)


def _go(request: Request, address: str) -> Response:
    if wants_fragment(request):
        return Response(headers={"HX-Redirect": address})
    return RedirectResponse(address, status_code=303)

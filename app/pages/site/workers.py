"""Workers: who computes what, on which device, with what, and whether they are well.

Admins say there which take no new run, and which takes one that waits.
"""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.backend import EngineDep
from app.failures import status
from app.submission import refuse_odd_text
from app.templating import is_visitor, person_of, render
from worker.contract.errors import NotFound, UserError
from worker.contract.records import RunRecord
from worker.engine.client import Engine
from worker.store.store import Store

NAV = ("Workers", "/workers")
SHOWN = 50
"""Runs of the queue that are shown to be moved."""
router = APIRouter()


@router.get("/workers")
def show(request: Request, engine: EngineDep) -> Response:
    """Every known worker, those alive first, which cannot be reached, and how long the queue is."""
    return _page(request, engine)


def _page(request: Request, engine: Engine, **shown: Any) -> Response:
    store = engine.store
    workers = store.workers()
    return render(
        request,
        "pages/workers.html",
        block="list",
        workers=workers,
        apart=engine.reach.troubles(),
        computing={w.run: run for w in workers if w.run and (run := _run(store, w.run))},
        queued=store.count_runs(state="queued"),
        waits=_movable(request, store),
        **{"status_code": 200, "error": "", **shown},
    )


def _movable(request: Request, store: Store) -> list[RunRecord]:
    """The next runs of the queue, for who may move them."""
    if is_visitor(request) or not store.acting.may_all:
        return []
    return [run for run in store.queue() if run.kind != "study"][:SHOWN]


def _run(store: Store, run_id: str) -> RunRecord | None:
    try:
        return store.run(run_id)
    except NotFound:
        return None


@router.post("/workers/pause")
async def pause(request: Request, engine: EngineDep) -> Response:
    """Let a worker take no new run."""
    store, by = engine.store, _who(request)
    return await _do(request, engine, lambda worker, run: store.halt(worker, "paused", by))


@router.post("/workers/drain")
async def drain(request: Request, engine: EngineDep) -> Response:
    """Let a worker take no new run, and end when its own is done."""
    store, by = engine.store, _who(request)
    return await _do(request, engine, lambda worker, run: store.halt(worker, "drained", by))


@router.post("/workers/resume")
async def resume(request: Request, engine: EngineDep) -> Response:
    """Let a worker take runs again."""
    return await _do(request, engine, lambda worker, run: engine.store.resume(worker))


@router.post("/workers/move")
async def move(request: Request, engine: EngineDep) -> Response:
    """Leave a run that waits to one worker, or to any."""
    by = _who(request)
    return await _do(request, engine, lambda worker, run: engine.move(run, worker, by))


@router.post("/workers/cancel")
async def cancel(request: Request, engine: EngineDep) -> Response:
    """Cancel anybody's run."""
    return await _do(request, engine, lambda worker, run: engine.cancel(run))


async def _do(request: Request, engine: Engine, change: Callable[[str, str], None]) -> Response:
    """Do what a form of the page asks for a worker or a run; what is refused is said on it."""
    form = await request.form()
    worker, run = str(form.get("worker", "")), str(form.get("run", ""))
    refuse_odd_text({"worker": worker, "run": run})
    try:
        await run_in_threadpool(change, worker, run)
    except UserError as error:
        said = {"status_code": status(error), "error": error.message}
        return await run_in_threadpool(lambda: _page(request, engine, **said))
    return RedirectResponse("/workers", status_code=303)


def _who(request: Request) -> str:
    person = person_of(request)
    return person.user if person else "the owner of this server"

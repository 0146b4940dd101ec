"""Workers: who computes what, on which device, with what, and whether they are well."""

from fastapi import APIRouter, Request, Response

from app.backend import EngineDep
from app.templating import render
from worker.contract.errors import NotFound
from worker.contract.records import RunRecord
from worker.store.store import Store

NAV = ("Workers", "/workers")
router = APIRouter()


@router.get("/workers")
def show(request: Request, engine: EngineDep) -> Response:
    """Every known worker, those alive first, which cannot be reached, and how long the queue is."""
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
    )


def _run(store: Store, run_id: str) -> RunRecord | None:
    try:
        return store.run(run_id)
    except NotFound:
        return None

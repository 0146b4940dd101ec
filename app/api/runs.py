"""Runs: submit, list, read, follow, cancel, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from app import arrays, stream, submission
from app.api._body import Key, gives, read_json
from app.backend import EngineDep, StoreDep
from app.projects import InProject, into
from worker.contract.errors import NotFound, UserError
from worker.contract.progress import RunState
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.contract.spec import RunKind, Spec
from worker.store.paging import COUNTED, read_place

router = APIRouter(prefix="/api/runs", tags=["runs"])


@router.post("", status_code=201, response_model=RunRecord)
async def submit(
    request: Request, engine: EngineDep, key: Key = "", project: InProject = None
) -> Response:
    """Queue the run that the JSON body's spec describes; 422 with a sentence per refused field."""
    spec = await read_json(request)
    owner = request.state.session.identity.user
    run_id = await run_in_threadpool(
        submission.submit, into(engine, project), spec, owner=owner, key=key
    )
    record = await run_in_threadpool(engine.store.run, run_id)
    return JSONResponse(
        record.model_dump(mode="json"), 201, headers={"Location": f"/api/runs/{run_id}"}
    )


@router.get("")
def list_runs(
    store: StoreDep,
    kind: RunKind | None = None,
    state: RunState | None = None,
    model: str | None = None,
    owner: str | None = None,
    project: str | None = None,
    tag: str | None = None,
    search: str | None = None,
    starred: bool | None = None,
    archived: bool | None = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: str = "",
    offset: int = 0,
) -> dict[str, Any]:
    """Runs that match every given filter, newest first, from the place `after` on.

    `next` is the place at which the next page begins, null on the last one. `total` is how many
    match from the first of these on; it is exact up to 1,000, and `is_more` says of more.
    """
    if offset:
        raise UserError(
            f"offset is {offset}; expected none: a page begins at a place. Ask for the next page "
            f"with after= and what the page before it gave as next.",
            field="offset",
        )
    filters: dict[str, Any] = {
        "kind": kind,
        "state": state,
        "model": model,
        "owner": owner,
        "project": project,
        "tag": tag,
        "search": search,
        "starred": starred,
        "archived": archived,
    }
    place = read_place(after, "after") if after else None
    found = store.runs_page(**filters, limit=limit, counted=COUNTED, after=place)
    return {
        "runs": found.runs,
        "next": str(found.places[-1]) if found.n > limit else None,
        "total": min(found.n, COUNTED),
        "is_more": found.n > COUNTED,
    }


@router.post("/check")
async def check(request: Request, engine: EngineDep) -> dict[str, Any]:
    """Say what a spec would do, without queueing it: the spec filled in, and the preflight."""
    spec, preflight = await run_in_threadpool(submission.check, engine, await read_json(request))
    filled: Spec = spec
    return {
        "spec": filled.model_dump(mode="json"),
        "preflight": preflight.model_dump(mode="json") if preflight else None,
    }


@router.get("/{run_id}")
def read(run_id: str, store: StoreDep) -> RunRecord:
    """One run: its spec, state and progress."""
    return store.run(run_id)


@router.get("/{run_id}/result")
def result(run_id: str, store: StoreDep) -> Result:
    """What the run found; 404 until it is done."""
    found = store.result(run_id)
    if found is None:
        raise NotFound(f"The run {run_id!r} has no result; it is {store.run(run_id).state}.")
    return found


@router.get("/{run_id}/log")
def log(run_id: str, store: StoreDep) -> list[str]:
    """The run's log, oldest line first."""
    store.run(run_id)
    return store.log(run_id)


@router.get(
    "/{run_id}/events",
    response_class=Response,
    responses=gives("Events as they happen; each one's data is JSON.", "text/event-stream"),
)
async def events(run_id: str, request: Request, engine: EngineDep, after: int = -1) -> Response:
    """Server-sent events: `id` is the event's offset, so a reader may resume with Last-Event-ID.

    The stream ends after the event of the final state; comments keep it open in between.
    """
    await run_in_threadpool(engine.store.run, run_id)
    start = stream.resume_after(request, after)
    messages = stream.as_json(engine.follow(run_id, start))
    return stream.respond(request, messages, engine.store, run_id)


@router.get(
    "/{run_id}/arrays/{name}",
    response_class=Response,
    responses=gives("The array.", "application/x-npz", "text/csv", "application/json"),
)
def array(run_id: str, name: str, store: StoreDep, format: str = "npz") -> Response:
    """One array of the result, as npz (one array under its name) or as CSV (one row per cell)."""
    return arrays.download(store, run_id, name, format)


@router.post("/{run_id}/cancel")
def cancel(run_id: str, engine: EngineDep) -> RunRecord:
    """Ask a run to stop; one that has ended stays as it is."""
    engine.store.run(run_id)
    engine.cancel(run_id)
    return engine.store.run(run_id)


@router.delete("/{run_id}", status_code=204)
def delete(run_id: str, store: StoreDep) -> Response:
    """Delete a run that has ended, with its files."""
    store.delete_run(run_id)
    return Response(status_code=204)

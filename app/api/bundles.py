"""Bundles of runs made elsewhere: take one in, repeat it, compare the numbers."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from app import bundles
from app.api._body import Key
from app.backend import EngineDep, StoreDep
from worker.contract.errors import NotFound
from worker.contract.records import RunRecord

router = APIRouter(prefix="/api/bundles", tags=["bundles"])
_FILE = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FILE}}}}


@router.post("", status_code=201, response_model=RunRecord, openapi_extra=_BODY)
async def take_in(request: Request, engine: EngineDep) -> Response:
    """Bring a bundle's run, facts and edits here; the run as it was recorded, finished."""
    form = await request.form(max_files=1, max_fields=10)
    owner = request.state.session.identity.user
    run_id = await run_in_threadpool(bundles.receive, engine, form.get("file"), owner)
    record = await run_in_threadpool(engine.store.run, run_id)
    headers = {"Location": f"/api/bundles/{run_id}"}
    return JSONResponse(record.model_dump(mode="json"), 201, headers=headers)


@router.post("/{run_id}/repeat", status_code=201, response_model=RunRecord)
async def repeat(run_id: str, request: Request, engine: EngineDep, key: Key = "") -> Response:
    """Queue the recorded run once more."""
    owner = request.state.session.identity.user
    made = await run_in_threadpool(bundles.repeat, engine, run_id, owner, key)
    record = await run_in_threadpool(engine.store.run, made)
    return JSONResponse(
        record.model_dump(mode="json"), 201, headers={"Location": f"/api/runs/{made}"}
    )


@router.get("/{run_id}")
def agreement(run_id: str, store: StoreDep) -> dict[str, Any]:
    """The recorded run and its repetitions; of a finished one every number side by side."""
    record, result = store.run(run_id), store.result(run_id)
    if result is None:
        raise NotFound(f"The run {run_id!r} has no recorded numbers; it is {record.state}.")
    return {
        "recorded": record,
        "repetitions": [
            {"run": one.run, "numbers": one.rows, "n_differing": one.n_differing}
            for one in bundles.repetitions(store, record, result)
        ],
    }

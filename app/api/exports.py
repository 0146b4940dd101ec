"""What can be taken of a run: files, tables, the mask, the edited model, a bundle."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from app import leaving, tables
from app.api._body import Key, gives
from app.backend import EngineDep, StoreDep
from app.downloads import attachment
from app.prefix import under
from worker.contract.errors import NotFound
from worker.contract.records import RunRecord

router = APIRouter(prefix="/api/runs/{run_id}", tags=["exports"])
Name = Annotated[str, Path(max_length=200)]


@router.get("/exports")
def exports(run_id: str, store: StoreDep) -> dict[str, Any]:
    """Everything that a finished run gives, with addresses and, where known, sizes in bytes."""
    record, result = store.run(run_id), store.result(run_id)
    if result is None:
        raise NotFound(f"The run {run_id!r} has no result; it is {record.state}.")
    found = leaving.offers(store, record, result)
    listed = [
        {
            "title": o.title,
            "size": o.size,
            "links": {words: under(address) for words, address in o.links},
        }
        for o in found
    ]
    model = leaving.model_of(store, record)
    return {
        "exports": listed,
        "bundle": under(f"/api/runs/{run_id}/bundle.zip"),
        "model": None if model is None else under(f"/api/runs/{run_id}/model.zip"),
        "model_run": model.run.id if model and model.run else None,
    }


@router.post("/model", status_code=202, response_model=RunRecord)
async def ask_for_model(
    run_id: str, request: Request, engine: EngineDep, key: Key = ""
) -> Response:
    """Queue the writing of the edited model as a Hugging Face folder; the run that does it."""
    owner = request.state.session.identity.user
    made = await run_in_threadpool(leaving.ask_for_model, engine, run_id, owner, key)
    record = await run_in_threadpool(engine.store.run, made)
    headers = {"Location": f"/api/runs/{made}"}
    return JSONResponse(record.model_dump(mode="json"), 202, headers=headers)


@router.get(
    "/model.zip",
    response_class=Response,
    responses=gives("The folder, packed.", "application/octet-stream"),
)
def model(run_id: str, store: StoreDep) -> Response:
    """The edited model as a Hugging Face folder in a zip file; 404 until it was made."""
    return leaving.send_model(store, run_id)


@router.get(
    "/files/{what}",
    response_class=Response,
    responses=gives("The file.", "application/octet-stream"),
)
def file(run_id: str, what: Name, store: StoreDep) -> Response:
    """One of the run's files: `delta`, or `model` of a run that wrote one."""
    return leaving.send_file(store, run_id, what)


@router.get("/mask.json")
def mask(run_id: str, store: StoreDep) -> Response:
    """The mask that an edit changed, as the page Masks takes it in."""
    body = leaving.mask_file(store, run_id)
    return JSONResponse(body, headers=attachment(f"{run_id}-mask.json"))


@router.get(
    "/tables/{name}",
    response_class=Response,
    responses=gives("The table.", "application/json", "text/csv", "application/x-npz"),
)
def table(run_id: str, name: Name, store: StoreDep, format: str = "json") -> Response:
    """One table of the result, for example `probes.facts`, as JSON, CSV or npz."""
    result = store.result(run_id)
    if result is None:
        raise NotFound(f"The run {run_id!r} has no result; it is {store.run(run_id).state}.")
    return tables.download(result, run_id, name, format)


@router.get(
    "/bundle.zip", response_class=Response, responses=gives("The bundle.", "application/zip")
)
def bundle(run_id: str, request: Request, store: StoreDep) -> Response:
    """The run with its facts, mask, edits and result in one file; `lethe run` repeats it."""
    return leaving.send_bundle(store, run_id, request.app.state.settings)

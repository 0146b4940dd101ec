"""Who may see what was made, on a shared server: its owner says so for a run, set, mask or text."""

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from app.api._body import read_json, takes
from app.backend import StoreDep
from worker.contract.base import Contract, parse
from worker.contract.projects import Visibility
from worker.store.sharing import Made

SHARED = True
router = APIRouter(prefix="/api/sharing", tags=["projects"])


class Sharing(Contract):
    """Who may see something: `private`, its `project`, the `server`, or `anybody`."""

    what: Made
    id: str = Field(max_length=400, description="A run's or mask's id; a set's or text's name.")
    visibility: Visibility
    project: str | None = Field(
        None,
        max_length=64,
        description="The project that it is put into; empty takes it out, null leaves it there.",
    )


@router.post("", status_code=204, openapi_extra=takes(Sharing))
async def share(request: Request, store: StoreDep) -> Response:
    """Say who may see something; in force from the next request on."""
    new = parse(Sharing, await read_json(request))
    await run_in_threadpool(store.share, new.what, new.id, new.visibility, new.project)
    return Response(status_code=204)

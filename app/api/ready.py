"""/readyz: whether this server can serve. Needs no login; a load balancer sends nobody until it is.

`/healthz` says whether it lives: one that is not ready is no reason to start it again.
"""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app.backend import store
from app.failures import RETRY
from worker.store.readiness import hindrances

router = APIRouter(tags=["health"])


class Ready(BaseModel):
    """The database answers, its tables are this server's, and artifacts can be written."""

    status: Literal["ready"] = "ready"


@router.get("/readyz", response_model=Ready)
async def readyz(request: Request) -> Ready | JSONResponse:
    """Say that this server can serve, or, with status 503, what hinders it."""
    found = await run_in_threadpool(hindrances, store(request))
    if not found:
        return Ready()
    listed = [{"field": part, "message": words} for part, words in found]
    return JSONResponse({"detail": listed}, 503, dict(RETRY))

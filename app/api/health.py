"""/healthz: whether the server answers, and whether anybody computes. Needs no login."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app.backend import engine
from worker.contract.records import WorkerRecord

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """What a monitor reads: that it answers says that the server lives."""

    status: Literal["ok", "starting", "failing", "no worker"]
    """`failing`: workers are alive, and none gets ready; `problems` say why."""
    worker_alive: bool
    workers: int
    workers_ready: int
    problems: tuple[str, ...]
    """A sentence for each worker in trouble; the Workers page, behind the login, says the rest."""


@router.get("/healthz")
async def healthz(request: Request) -> Health:
    """Say how many workers are alive and ready, and why none is."""
    workers = await run_in_threadpool(lambda: engine(request).store.workers())
    alive = [worker for worker in workers if worker.alive]
    ready = [worker for worker in alive if worker.ready and not worker.problem]
    problems = tuple(
        # Only how it ended: what follows may name files, and this is read without a login.
        f"{worker.id}: {worker.problem.partition('. ')[0].rstrip('.')}."
        for worker in alive
        if worker.problem
    )
    return Health(
        status=_status(alive, ready, problems),
        worker_alive=bool(alive),
        workers=len(alive),
        workers_ready=len(ready),
        problems=problems,
    )


def _status(
    alive: list[WorkerRecord], ready: list[WorkerRecord], problems: tuple[str, ...]
) -> Literal["ok", "starting", "failing", "no worker"]:
    if ready:
        return "ok"
    if not alive:
        return "no worker"
    return "failing" if problems else "starting"

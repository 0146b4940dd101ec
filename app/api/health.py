"""/healthz: whether the server answers, and whether anybody computes. Needs no login."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app.backend import engine
from worker.contract.records import WorkerRecord
from worker.engine.client import Engine

router = APIRouter(tags=["health"])
UNREACHED = (
    "{}: this server cannot reach it for questions. Set LETHE_WORKER_HOST where it runs to an "
    "address of its host that this server reaches; the Workers page names the one it gave."
)


Status = Literal["ok", "starting", "failing", "unreachable", "no worker"]


class Health(BaseModel):
    """What a monitor reads: that it answers says that the server lives."""

    status: Status
    """`failing`: workers are alive, and none gets ready; `unreachable`: one that computes runs
    cannot be asked from here, so that forms and looks on its models fail; `problems` say why."""
    worker_alive: bool
    workers: int
    workers_ready: int
    workers_paused: int
    """Those alive that take no new run because an admin said so; nothing is wrong with them."""
    problems: tuple[str, ...]
    """A sentence for each worker in trouble; the Workers page, behind the login, says the rest."""


@router.get("/healthz")
async def healthz(request: Request) -> Health:
    """Say how many workers are alive, ready and reached from here, and why others are not."""
    return await run_in_threadpool(_look, engine(request))


def _look(asked: Engine) -> Health:
    alive = [worker for worker in asked.store.workers() if worker.alive]
    apart = asked.reach.troubles()
    well = [worker for worker in alive if worker.ready and not worker.problem]
    ready = [worker for worker in well if worker.id not in apart]
    problems = [
        # Only how it ended: what follows may name files, and this is read without a login.
        f"{worker.id}: {worker.problem.partition('. ')[0].rstrip('.')}."
        for worker in alive
        if worker.problem
    ]
    problems += [UNREACHED.format(worker.id) for worker in well if worker.id in apart]
    return Health(
        status="unreachable" if len(ready) < len(well) else _status(alive, ready, problems),
        worker_alive=bool(alive),
        workers=len(alive),
        workers_ready=len(ready),
        workers_paused=sum(worker.halt is not None for worker in alive),
        problems=tuple(problems),
    )


def _status(alive: list[WorkerRecord], ready: list[WorkerRecord], problems: list[str]) -> Status:
    if ready:
        return "ok"
    if not alive:
        return "no worker"
    return "failing" if problems else "starting"

"""/healthz: whether the server answers, and whether anybody computes. Needs no login."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz(request: Request) -> dict[str, object]:
    """Say `ok`, and how many workers are alive and ready."""
    workers = await run_in_threadpool(request.app.state.engine.store.workers)
    alive = [worker for worker in workers if worker.alive]
    return {
        "status": "ok",
        "worker_alive": bool(alive),
        "workers": len(alive),
        "workers_ready": sum(worker.ready for worker in alive),
    }

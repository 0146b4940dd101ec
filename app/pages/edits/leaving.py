"""Asks, from a run's page, for its edited model as a Hugging Face folder."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from app import leaving
from app.backend import EngineDep
from app.submission import key_of_form
from app.templating import wants_fragment

router = APIRouter(prefix="/runs/{run_id}")


@router.post("/model")
async def ask_for_model(run_id: str, request: Request, engine: EngineDep) -> Response:
    """Queue the writing of the folder, and go to the run that writes it."""
    owner = request.state.session.identity.user
    key = key_of_form(await request.form(), "model", run_id)
    made = await run_in_threadpool(leaving.ask_for_model, engine, run_id, owner, key)
    if wants_fragment(request):
        return Response(headers={"HX-Redirect": f"/runs/{made}"})
    return RedirectResponse(f"/runs/{made}", status_code=303)

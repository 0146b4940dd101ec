"""Is it gone? One button after an edit: the verdict and the probes, with the time they take."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.backend import EngineDep
from app.submission import check, key_of_form, submit
from app.templating import render, wants_fragment
from app.verdicts import verdict_spec
from worker.contract.errors import UserError
from worker.contract.menu import Preflight
from worker.contract.records import RunRecord
from worker.engine.client import Unreachable, WorkerBusy
from worker.store.store import Store

router = APIRouter(prefix="/runs/{run_id}/gone")


@router.get("/ahead")
def ahead(request: Request, run_id: str, engine: EngineDep) -> Response:
    """What stands beside the button: the time it takes, or why it cannot be asked now."""
    run = _edit(engine.store, run_id)
    found: Preflight | None = None
    problem = ""
    try:
        found = check(engine, verdict_spec(run, engine.store), brief=True)[1]
    except (WorkerBusy, Unreachable):
        pass  # How long it takes is not known yet; the question itself can be asked.
    except UserError as error:
        problem = error.message
    return render(
        request,
        "fragments/gone_ahead.html",
        edit=run_id,
        ahead=found,
        problem=problem,
        again="load delay:3s",
    )


@router.post("")
async def ask(request: Request, run_id: str, engine: EngineDep) -> Response:
    """Queue the verdict and the probes of an edit, and go to its dossier, where they arrive."""
    form = await request.form()

    def start() -> None:
        run = _edit(engine.store, run_id)
        spec = verdict_spec(run, engine.store)
        submit(engine, spec, title=f"Is it gone? {run.title}", key=key_of_form(form, spec))

    await run_in_threadpool(start)
    address = f"/dossier/{run_id}"
    if wants_fragment(request):
        return Response(headers={"HX-Redirect": address})
    return RedirectResponse(address, status_code=303)


def _edit(store: Store, run_id: str) -> RunRecord:
    run = store.run(run_id)
    if run.kind != "unlearn" or not run.has_result:
        raise UserError(
            f"The run {run_id!r} is {run.kind}, {run.state}; only a finished edit can be asked "
            f"whether its facts are gone."
        )
    return run

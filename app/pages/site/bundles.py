"""Bundles: a run made elsewhere is brought here, repeated, and its numbers are compared."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from app import bundles
from app.backend import EngineDep, StoreDep
from app.submission import key_of_form
from app.templating import render
from worker.contract.errors import NotFound, UserError
from worker.contract.records import RunRecord
from worker.contract.spec import parse_spec
from worker.engine.client import Engine
from worker.store.store import Store

NAV = ("Bundles", "/bundles")
router = APIRouter(prefix="/bundles")


@router.get("")
def show(request: Request, store: StoreDep) -> Response:
    """The form for a bundle, and the runs that came in one."""
    return _page(request, store)


def _page(request: Request, store: Store, error: str = "", code: int = 200) -> Response:
    return render(
        request,
        "pages/bundles.html",
        status_code=code,
        runs=bundles.imported(store),
        error=error,
        limit=bundles.LIMIT,
    )


@router.post("")
async def take_in(request: Request, engine: EngineDep) -> Response:
    """Bring a bundle here and show what it is; what is none is said beside the field."""
    form = await request.form(max_files=1, max_fields=10)
    owner = request.state.session.identity.user
    try:
        run_id = await run_in_threadpool(bundles.receive, engine, form.get("file"), owner)
    except UserError as error:
        return await run_in_threadpool(_page, request, engine.store, error.message, 422)
    return RedirectResponse(f"/bundles/{run_id}", status_code=303)


@router.get("/{run_id}")
def one(request: Request, run_id: str, store: StoreDep) -> Response:
    """What a recorded run is, and whether its repetitions say the same."""
    return _recorded(request, run_id, store)


@router.post("/{run_id}/repeat")
async def repeat(request: Request, run_id: str, engine: EngineDep) -> Response:
    """Queue the recorded run once more, and show its progress beside the record."""
    key = key_of_form(await request.form(), "repeat", run_id)
    try:
        await run_in_threadpool(_repeat, engine, run_id, request.state.session.identity.user, key)
    except NotFound:
        raise
    except UserError as error:
        sentences = [sentence for _, sentence in error.problems]
        return await run_in_threadpool(_recorded, request, run_id, engine.store, sentences, 422)
    return RedirectResponse(f"/bundles/{run_id}", status_code=303)


def _repeat(engine: Engine, run_id: str, owner: str, key: str) -> None:
    engine.store.run(run_id)
    bundles.repeat(engine, run_id, owner, key)


def _recorded(
    request: Request,
    run_id: str,
    store: Store,
    problems: list[str] | None = None,
    code: int = 200,
) -> Response:
    record, result = store.run(run_id), store.result(run_id)
    if result is None:
        raise NotFound(f"The run {run_id!r} has no recorded numbers; it is {record.state}.")
    repetitions = bundles.repetitions(store, record, result)
    return render(
        request,
        "pages/bundle.html",
        block="repetitions",
        status_code=code,
        run=record,
        result=result,
        edits=_edits(store, record),
        known=_is_known(store, record),
        repetitions=repetitions,
        is_open=any(not one.is_over for one in repetitions),
        problems=problems or [],
    )


def _edits(store: Store, record: RunRecord) -> list[RunRecord]:
    return [store.run(edit) for edit in parse_spec(record.spec).edits]


def _is_known(store: Store, record: RunRecord) -> bool:
    """Whether a worker here has announced the run's base model."""
    menu = store.announcement()
    base = parse_spec(record.spec).base
    return menu is not None and any(m.id == base and not m.problem for m in menu.models)

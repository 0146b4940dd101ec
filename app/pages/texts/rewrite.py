"""Rewrite: make a model forget a text, in three stages that are seen one by one."""

import json
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import csv_text
from app.backend import AnnouncementDep, EngineDep, StoreDep
from app.downloads import attachment
from app.drawing.marks import marked
from app.experiment import Typed, subject, typed
from app.forms import form_fields
from app.mask_choice import mask_choices
from app.pages.texts._dictionary import (
    SPARE,
    Entry,
    as_dictionary,
    imported,
    proposed,
    typed_entries,
)
from app.pages.texts._text_runs import (
    NO_VIEW,
    MakeSpec,
    begin_stages,
    forget_spec,
    stages_result,
    submit_further,
    try_spec,
)
from app.pages.texts._text_stages import (
    VIEW,
    forgotten,
    method_info,
    said_at,
    training_fields,
)
from app.templating import render, wants_fragment
from worker.contract.errors import NotFound, UserError
from worker.contract.menu import Announcement
from worker.contract.progress import FINAL_STATES
from worker.contract.records import RunRecord
from worker.contract.texts import BUNDLED
from worker.engine.client import Engine

NAV = ("Rewrite", "/rewrite")
router = APIRouter(prefix="/rewrite")
TEMPLATE = "pages/rewrite.html"


@router.get("")
async def show(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """The form of the first stage and earlier runs of it; with `run`, the stages of that run."""
    form = await typed(request)
    return await run_in_threadpool(_draw_first, request, form, engine, menu)


@router.post("")
async def begin(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """Start the first two stages."""
    form = await typed(request)
    try:
        run_id = await run_in_threadpool(begin_stages, form, engine, menu)
    except UserError as error:
        form.problems = error.problems
        return await run_in_threadpool(_draw_first, request, form, engine, menu, 422)
    return _go(request, f"/rewrite/{run_id}")


@router.get("/{run_id}")
async def stages(
    request: Request, run_id: str, engine: EngineDep, menu: AnnouncementDep, at: str = ""
) -> Response:
    """The stages of a run, or how far it is; `at` chooses the token whose predictions are seen."""
    form = await typed(request)
    form.values = {"mask.from": "control", "mask.control.kind": "all"} | form.values
    block = "says" if request.headers.get("hx-target", "").endswith("says") else "stages"
    return await run_in_threadpool(_draw, request, run_id, form, engine, menu, at=at, block=block)


@router.post("/{run_id}/form")
async def again(
    request: Request, run_id: str, engine: EngineDep, menu: AnnouncementDep
) -> Response:
    """The form after a row was added, a dictionary imported, or the mask's source changed."""
    form, given = await _posted(request)
    result = await run_in_threadpool(stages_result, engine.store, run_id)
    entries = typed_entries(given, proposed(result))
    if given.get("do") == "import":
        try:
            entries = await imported(given, proposed(result))
        except UserError as error:
            form.problems = error.problems
    return await run_in_threadpool(
        _draw, request, run_id, form, engine, menu, entries=entries, block="experiment"
    )


@router.post("/{run_id}/try")
async def preview(
    request: Request, run_id: str, engine: EngineDep, menu: AnnouncementDep
) -> Response:
    """Go through the first two stages again with the dictionary as it is typed."""
    return await _start(request, run_id, engine, menu, try_spec, "/rewrite/{}")


@router.post("/{run_id}")
async def start(
    request: Request, run_id: str, engine: EngineDep, menu: AnnouncementDep
) -> Response:
    """Start the third stage: the training on generic labels."""
    return await _start(request, run_id, engine, menu, forget_spec, "/runs/{}")


@router.post("/{run_id}/dictionary.json")
async def exported(
    request: Request, run_id: str, engine: EngineDep, menu: AnnouncementDep
) -> Response:
    """The dictionary as it is typed, as a file."""
    form, given = await _posted(request)
    result = await run_in_threadpool(stages_result, engine.store, run_id)
    try:
        return _file(as_dictionary(typed_entries(given, proposed(result))))
    except UserError as error:
        return await _refused(request, run_id, form, given, engine, menu, error)


@router.get("/{run_id}/dictionary.json")
def download(run_id: str, store: StoreDep) -> Response:
    """The dictionary that the run proposed, as a file."""
    return _file(as_dictionary(proposed(stages_result(store, run_id))))


def _file(words: dict[str, str]) -> Response:
    text = json.dumps(words, indent=1, ensure_ascii=False)
    return Response(text, media_type="application/json", headers=attachment("dictionary.json"))


@router.get("/{run_id}/tokens.csv")
def tokens(run_id: str, store: StoreDep) -> Response:
    """Every shown token with its mark, its generic label and both opinions."""
    about = ("rise (nats)", "surprise (nats)", "expression", "generic label")
    opinions = ("original prediction", "probability", "generic prediction", "probability")
    rows: list[list[Any]] = [["position", "token", *about, *opinions]]
    for place, one in enumerate(stages_result(store, run_id).view["tokens"]):
        best = [*(one["original"] or [["", ""]])[0], *(one["generic"] or [["", ""]])[0]]
        known = [one["mark"], one["surprise"], one["anchor"], one["label"]]
        rows.append([place, one["text"], *known, *best])
    return csv_text.respond(rows, f"{run_id}-tokens.csv")


async def _posted(request: Request) -> tuple[Typed, FormData]:
    given = await request.form(max_files=1, max_fields=5000)
    values = {k: v for k, v in given.multi_items() if isinstance(v, str)}
    return Typed(values, posted=given, given=given), given


async def _refused(
    request: Request,
    run_id: str,
    form: Typed,
    given: FormData,
    engine: Engine,
    menu: Announcement,
    error: UserError,
) -> Response:
    """The form as it was typed, with what was wrong beside its field."""
    form.problems = error.problems
    result = await run_in_threadpool(stages_result, engine.store, run_id)
    entries = typed_entries(given, proposed(result))
    draw = partial(_draw, entries=entries, block="experiment", code=422)
    return await run_in_threadpool(draw, request, run_id, form, engine, menu)


async def _start(
    request: Request, run_id: str, engine: Engine, menu: Announcement, make: MakeSpec, goes: str
) -> Response:
    form, given = await _posted(request)
    try:
        new = await run_in_threadpool(submit_further, run_id, form, given, engine, menu, make)
    except UserError as error:
        return await _refused(request, run_id, form, given, engine, menu, error)
    return _go(request, goes.format(new))


def _draw_first(
    request: Request, form: Typed, engine: Engine, menu: Announcement, code: int = 200
) -> Response:
    info = method_info(menu, "explore", VIEW)
    posted = form.given if request.method == "POST" else None
    schema = info.options if info else {}
    fields = form_fields(schema, posted=posted, values=form.values, problems=form.problems)
    by_name = {f.name.removeprefix("options."): f for f in fields}
    by_name.pop("text", None)
    runs = engine.store.runs(kind="explore", limit=50)
    texts = [(BUNDLED, "The bundled saga"), *((t.name, t.name) for t in engine.store.texts())]
    return render(
        request,
        TEMPLATE,
        block="first",
        status_code=code,
        run=None,
        no_view="" if info else NO_VIEW,
        texts=texts,
        few=[f for n, f in by_name.items() if n in ("alpha", "reinforce_steps")],
        more=[f for n, f in by_name.items() if n not in ("alpha", "reinforce_steps")],
        earlier=[run for run in runs if run.spec.get("view") == VIEW],
        **subject(form, engine.store, menu),
    )


def _draw(
    request: Request,
    run_id: str,
    form: Typed,
    engine: Engine,
    menu: Announcement,
    *,
    entries: list[Entry] | None = None,
    at: str = "",
    block: str = "stages",
    code: int = 200,
) -> Response:
    run = engine.store.run(run_id)
    if run.spec.get("view") != VIEW:
        raise NotFound(f"The run {run_id!r} rewrites no text.")
    known: dict[str, Any] = {"run": run, "is_open": run.state not in FINAL_STATES, "result": None}
    if run.has_result:
        known |= _finished(run, form, engine, menu, entries, at)
    return render(request, TEMPLATE, block=block, status_code=code, **known)


def _finished(
    run: RunRecord,
    form: Typed,
    engine: Engine,
    menu: Announcement,
    entries: list[Entry] | None,
    at: str,
) -> dict[str, Any]:
    result = stages_result(engine.store, run.id)
    shown, bound = marked(result)
    few, more = training_fields(form, menu)
    rows = proposed(result) if entries is None else entries
    return {
        "result": result,
        "tokens": shown,
        "bound": bound,
        "says": said_at(result, at),
        "entries": [*rows, *(Entry() for _ in range(SPARE))],
        "n_entries": len(rows),
        "few": few,
        "more": more,
        "again": f"/rewrite/{run.id}/form",
        "text": result.view.get("text", BUNDLED),
        "forgotten": forgotten(engine.store, result.view.get("text", BUNDLED)),
        **subject(form, engine.store, menu),
        **mask_choices(form, engine.store),
    }


def _go(request: Request, address: str) -> Response:
    if wants_fragment(request):
        return Response(headers={"HX-Redirect": address})
    return RedirectResponse(address, status_code=303)

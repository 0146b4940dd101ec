"""Bringing facts: a file, what was understood of it row by row, and the set it becomes."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.responses import RedirectResponse

from app import csv_text, pending, uploads
from app.backend import EngineDep, StoreDep
from app.pages.facts import pasting
from app.projects import within
from app.templating import render
from worker.contract.errors import NotFound, UserError
from worker.contract.menu import ReadFacts
from worker.engine.client import Engine

router = APIRouter(prefix="/facts/upload")
SHOWN = 20
"""Rows of the preview."""


@router.get("")
def choose(request: Request, store: StoreDep) -> Response:
    """The forms for a file, for pasted text, and for a template with a table."""
    return render(request, "pages/upload.html", **pasting.context(store, pasting.typed(), {}))


@router.post("")
async def receive(request: Request, store: StoreDep) -> Response:
    """Keep the file and go to its preview."""
    form = await request.form(max_files=1, max_fields=10)
    try:
        upload = await uploads.receive(store, form.get("file"))
    except UserError as error:
        return pasting.refused(request, store, error, pasting.typed())
    return RedirectResponse(f"/facts/upload/{upload.id}", status_code=303)


@router.get("/{upload_id}")
def preview(request: Request, upload_id: str, engine: EngineDep) -> Response:
    """What a worker understands of the file, with the columns as the address maps them."""
    upload = pending.find(engine.store, upload_id)
    mapping = read_mapping(request.query_params)
    known = _understood(engine, upload, mapping)
    code = 422 if known["problems"] else 200
    return render(
        request, "pages/upload_preview.html", block="understood", status_code=code, **known
    )


@router.get("/{upload_id}/refused.csv")
def refused(request: Request, upload_id: str, engine: EngineDep) -> Response:
    """The rows that were not understood, with the reasons."""
    upload = pending.find(engine.store, upload_id)
    found = uploads.read(engine, upload, read_mapping(request.query_params))
    rows = ([row.row, row.reason, row.text] for row in found.refused)
    return csv_text.respond([[found.counted, "reason", "text"], *rows], "refused.csv")


@router.post("/{upload_id}")
async def keep(request: Request, upload_id: str, engine: EngineDep) -> Response:
    """Store the facts as a set; what is refused is said beside its field."""
    form = await request.form()
    mapping = read_mapping(form)
    upload = await run_in_threadpool(pending.find, engine.store, upload_id)
    name, description = str(form.get("name", "")), str(form.get("description", ""))
    try:
        into = within(engine, form)
        info = await run_in_threadpool(uploads.keep, into, upload, mapping, name, description)
    except NotFound:
        raise
    except UserError as error:
        known = await run_in_threadpool(_understood, engine, upload, mapping)
        known |= {"name": name, "description": description, "errors": dict(error.problems)}
        return render(request, "pages/upload_preview.html", status_code=422, **known)
    return RedirectResponse(f"/facts?{urlencode({'set': info.name})}", status_code=303)


@router.post("/{upload_id}/discard")
def discard(upload_id: str, store: StoreDep) -> Response:
    """Forget a file that waits to be stored."""
    pending.discard(store, pending.find(store, upload_id))
    return RedirectResponse("/facts/upload", status_code=303)


def read_mapping(asked: QueryParams | FormData) -> dict[str, str]:
    """Which column gives which field, as typed; empty fields are left to the reader."""
    found: dict[str, str] = {}
    for field, _, _ in uploads.FIELDS:
        text = str(asked.get(f"mapping.{field}", "")).strip()
        if text:
            found[field] = text[:500]
    return found


def _understood(engine: Engine, upload: pending.Upload, mapping: dict[str, str]) -> dict[str, Any]:
    problems: list[tuple[str, str]] = []
    found: ReadFacts | None = None
    try:
        found = uploads.read(engine, upload, mapping)
    except UserError as error:
        problems = error.problems
    asked = {f"mapping.{field}": column for field, column in mapping.items()}
    return {
        "upload": upload,
        "found": found,
        "shown": SHOWN,
        "fields": uploads.FIELDS,
        "mapping": {**(found.mapping if found else {}), **mapping},
        "query": urlencode(asked),
        "problems": problems,
        "errors": dict(problems),
        "name": upload.filename.rpartition(".")[0][:100],
        "description": "",
    }

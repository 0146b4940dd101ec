"""Texts to forget, as Who's Harry Potter does: brought or pasted, previewed in pieces, deleted."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import RedirectResponse

from app.backend import StoreDep
from app.projects import FIELD, store_within
from app.templating import render
from app.texts import keep
from worker.contract.errors import NotFound, UserError
from worker.contract.texts import BUNDLED, ENDINGS, MAX_BYTES
from worker.store.store import Store

router = APIRouter(prefix="/facts/texts")
PAGE = 10
"""Pieces of the preview."""


@router.get("")
def show(request: Request, store: StoreDep) -> Response:
    """The stored texts, and the form for another."""
    return render(request, "pages/texts.html", **_context(store, {}, {}))


def _context(store: Store, typed: dict[str, str], errors: dict[str, str]) -> dict[str, Any]:
    return {
        "texts": store.texts(),
        "bundled": BUNDLED,
        "typed": typed,
        "errors": errors,
        "limit": MAX_BYTES,
        "endings": ENDINGS,
    }


@router.get("/show")
def preview(request: Request, store: StoreDep, name: str = "", offset: int = 0) -> Response:
    """One text, in the pieces in which it reads."""
    info = store.text_info(name)
    pieces, start, total = store.text_pieces(name, offset, PAGE)

    def page(at: int) -> str:
        return f"/facts/texts/show?{urlencode({'name': name, 'offset': at})}"

    return render(
        request,
        "pages/text.html",
        block="pieces",
        info=info,
        pieces=pieces,
        offset=start,
        limit=PAGE,
        total=total,
        page=page,
    )


@router.post("")
async def receive(request: Request, store: StoreDep) -> Response:
    """Store a text that was brought or pasted; a refused one is said beside its field."""
    form = await request.form(max_files=1, max_fields=10, max_part_size=MAX_BYTES)
    typed = {"name": _text(form, "name"), "pasted": _text(form, "pasted")}
    try:
        filename, data = await _read(form)
        into = store_within(store, form.get(FIELD))
        name = await run_in_threadpool(keep, into, typed["name"], filename, data)
    except NotFound:
        raise
    except UserError as error:
        known = await run_in_threadpool(_context, store, typed, dict(error.problems))
        return render(request, "pages/texts.html", status_code=422, **known)
    return RedirectResponse(f"/facts/texts/show?{urlencode({'name': name})}", status_code=303)


async def _read(form: FormData) -> tuple[str, bytes]:
    """The file, or what was pasted."""
    file, pasted = form.get("file"), _text(form, "pasted")
    if isinstance(file, UploadFile) and file.filename:
        return file.filename, await file.read()
    try:
        return "", pasted.encode()
    except UnicodeEncodeError as error:
        bad = f"U+{ord(error.object[error.start]):04X}"
        raise UserError(
            f"The text holds {bad}, half of a character; expected whole Unicode characters.",
            field="pasted",
        ) from None


@router.post("/delete")
async def delete(request: Request, store: StoreDep) -> Response:
    """Delete a text; edits that were made with it stay."""
    form = await request.form()
    await run_in_threadpool(store.delete_text, _text(form, "name"))
    return RedirectResponse("/facts/texts", status_code=303)


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""

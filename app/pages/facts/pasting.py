"""Facts that are typed instead of brought as a file: pasted text, and a template with a table."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse

from app import failures, pending, uploads
from app.backend import StoreDep
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.errors import UserError
from worker.store.store import Store

router = APIRouter(prefix="/facts/paste")
TEMPLATES = (
    ("template", "prompt", "Template"),
    ("question", "question", "Question"),
    ("paraphrases", "paraphrases", "Paraphrases"),
)
"""Fields of the maker's form: name, the fact's field, label."""


def typed(form: FormData | None = None) -> dict[str, str]:
    """What the forms for pasted text and for templates show."""
    names = ("pasted", "table", *(name for name, _, _ in TEMPLATES))
    return {name: str(form.get(name, "")) if form else "" for name in names}


@router.post("")
async def receive(request: Request, store: StoreDep) -> Response:
    """Keep what was pasted as if it were a file, and go to its preview."""
    form = await request.form()
    makes = "template" in form
    try:
        mapping = read_templates(form) if makes else {}
        text = str(form.get("table" if makes else "pasted", ""))
        field = "table" if makes else "pasted"
        upload = await run_in_threadpool(uploads.receive_text, store, text, field)
    except UserError as error:
        return refused(request, store, error, typed(form))
    query = urlencode({f"mapping.{field}": text for field, text in mapping.items()})
    address = f"/facts/upload/{upload.id}" + (f"?{query}" if query else "")
    return RedirectResponse(address, status_code=303)


def refused(request: Request, store: Store, error: UserError, shown: dict[str, str]) -> Response:
    """The page for bringing facts, with what is wrong beside its field."""
    known = context(store, shown, dict(error.problems))
    return render(request, "pages/upload.html", status_code=failures.status(error), **known)


def context(store: Store, shown: dict[str, str], errors: dict[str, str]) -> dict[str, Any]:
    """What the page for bringing facts shows."""
    formats = uploads.file_formats(store)
    return {
        "formats": formats,
        "endings": [ending for one in formats for ending in one.endings],
        "typed": shown,
        "errors": errors,
        "limit": uploads.LIMIT,
        "paste_limit": uploads.PASTE_LIMIT,
        "waiting": pending.waiting(store),
    }


def read_templates(form: FormData) -> dict[str, str]:
    """The maker's templates as a mapping: a text after '=' is taken for every row."""
    template = str(form.get("template", "")).strip()
    if not template:
        raise UserError(
            "template is empty; expected a prompt with a place, for example "
            "{subject} plays the sport of.",
            field="template",
        )
    mapping: dict[str, str] = {}
    for name, field, _ in TEMPLATES:
        lines = [line.strip() for line in str(form.get(name, "")).splitlines() if line.strip()]
        text = (" " if name != "paraphrases" else "|").join(lines)
        if len(text) > 450:
            raise UserError(
                f"{name} has {len(text)} characters; expected at most 450. Put longer prompts "
                f"into a column of the table.",
                field=name,
            )
        try:
            refuse_odd_text(text)
        except UserError as error:
            raise UserError(error.message, field=name) from None
        if text:
            mapping[field] = f"={text}"
    return mapping

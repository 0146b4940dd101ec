"""Texts to forget: list, store, read, delete."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import PlainTextResponse

from app.backend import StoreDep
from app.projects import InProject, store_within
from app.texts import keep
from worker.contract.errors import UserError
from worker.contract.texts import TextInfo

router = APIRouter(prefix="/api/texts", tags=["texts"])
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "name": {"type": "string"},
                    },
                }
            }
        },
    }
}


@router.get("")
def list_texts(store: StoreDep) -> list[TextInfo]:
    """Every stored text."""
    return store.texts()


@router.post("", status_code=201, openapi_extra=_FORM)
async def upload(request: Request, store: StoreDep, project: InProject = None) -> TextInfo:
    """Store a text: plain, Markdown, or texts in JSON; by default under its file's name."""
    form = await request.form(max_files=1, max_fields=10)
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise UserError(
            "No file was sent; expected plain text, Markdown, or JSON with texts.", field="file"
        )
    data, given = await file.read(), form.get("name", "")
    name = given.strip() if isinstance(given, str) else ""
    owner = request.state.session.identity.user
    into = store_within(store, project)
    stored = await run_in_threadpool(keep, into, name, file.filename or "", data, owner)
    return store.text_info(stored)


@router.get("/{name:path}", response_class=PlainTextResponse)
def read(name: str, store: StoreDep) -> Response:
    """A text, whole."""
    return PlainTextResponse(store.text(name))


@router.delete("/{name:path}", status_code=204)
def delete(name: str, store: StoreDep) -> Response:
    """Delete a text."""
    store.delete_text(name)
    return Response(status_code=204)

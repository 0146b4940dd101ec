"""What is answered when something goes wrong: a sentence on the page, a `detail` list in the API.

A `UserError` is shown as it is. Anything else is a bug: the answer carries an incident's id, and
the log holds the traceback under it.
"""

import logging
import math
import secrets
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.access.csrf import ForgedRequest
from app.access.guard import HEADERS
from app.access.refusal import speaks_json
from app.telling import told_of
from app.templating import render, wants_fragment
from worker.contract.errors import Conflict, Forbidden, NotFound, TooMuch, Unavailable, UserError
from worker.engine.client import NoWorker, WorkerBusy
from worker.store.trouble import trouble

log = logging.getLogger("lethe.app")

RETRY = {"Retry-After": "5"}
"""What is not possible now is worth another try after so many seconds."""
_SENTENCES = {
    404: "There is nothing at {path}. Look at the menu for what there is.",
    405: "{path} cannot be asked this way ({method}).",
    408: "What was sent to {path} came too slowly, and nothing was done. Send it again.",
    413: "What was sent is too large for {path}. Send less at once.",
}
_TITLES = {
    403: "Refused",
    404: "Not found",
    408: "Too slow",
    409: "Not as things stand",
    413: "Too large",
    422: "This cannot be done",
    429: "Not so much",
    503: "Not now",
}


def install(app: FastAPI) -> None:
    """Answer every exception of `app` in words."""
    app.add_exception_handler(UserError, user_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    for kind in (Unavailable, SQLAlchemyError, OSError):
        app.add_exception_handler(kind, in_trouble)
    app.add_exception_handler(Exception, _bug)


def detail(error: UserError) -> list[dict[str, str]]:
    """An error's problems in the API's form."""
    return [{"field": field, "message": sentence} for field, sentence in error.problems]


def status(error: UserError) -> int:
    """The HTTP status that says what kind of refusal this is."""
    if isinstance(error, ForgedRequest | Forbidden):
        return 403
    if isinstance(error, TooMuch):
        return 429
    if isinstance(error, NoWorker):
        return 503
    if isinstance(error, Conflict):
        return 409
    return 404 if isinstance(error, NotFound) else 422


def _again(error: UserError) -> dict[str, str] | None:
    """When it is worth another try."""
    if isinstance(error, TooMuch):
        return None if error.seconds is None else {"Retry-After": f"{math.ceil(error.seconds)}"}
    return RETRY if isinstance(error, NoWorker) else None


def user_error(request: Request, error: Exception) -> Response:
    """What cannot be done, as its sentences say it."""
    assert isinstance(error, UserError)
    code = status(error)
    if isinstance(error, WorkerBusy) and request.method == "GET" and not wants_fragment(request):
        return _answer(request, code, error.problems, RETRY, title="Not yet", again=True)
    return _answer(request, code, error.problems, _again(error))


def in_trouble(request: Request, error: Exception) -> Response:
    """Database or disk cannot be used now; an error that is something else is a bug."""
    words = trouble(error)
    if not words:
        return _bug(request, error)
    log.warning("%s %s: %s", request.method, request.url.path, words)
    # Who computes is left out: the database that knows may be what cannot be asked.
    return _answer(request, 503, [("", words)], {**HEADERS, **RETRY}, live_workers=None)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(request, 422, [_problem(one) for one in error.errors()])


def _problem(error: dict[str, Any]) -> tuple[str, str]:
    field = ".".join(str(part) for part in error["loc"][1:])
    value = repr(error.get("input"))
    value = value if len(value) <= 80 else value[:77] + "..."
    if error["type"] == "missing":
        return field, f"{field} is missing; expected a value. Add it."
    return field, f"{field} is {value}: {error['msg'][0].lower()}{error['msg'][1:]}."


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if known := _SENTENCES.get(error.status_code):
        sentence = known.format(path=request.url.path, method=request.method)
    else:
        sentence = str(error.detail)
    return _answer(request, error.status_code, [("", sentence)], dict(error.headers or {}))


def _bug(request: Request, error: Exception) -> Response:
    if trouble(error):  # wrapped in an exception of a library's own
        return in_trouble(request, error)
    incident = secrets.token_hex(4)
    log.error(
        "incident %s at %s %s",
        incident,
        request.method,
        request.url.path,
        exc_info=error,
        extra=told_of(request.scope),
    )
    sentence = (
        f"Something in Lethe itself went wrong (incident {incident}); nothing was changed by it. "
        f"The server's log holds the details under this number."
    )
    # This answer is sent outside the guard, which would have added the headers. Who computes is
    # left out: asking the database may be what failed.
    return _answer(request, 500, [("", sentence)], dict(HEADERS), live_workers=None)


def _answer(
    request: Request,
    code: int,
    problems: list[tuple[str, str]],
    headers: dict[str, str] | None = None,
    **context: Any,
) -> Response:
    if speaks_json(request.url.path):
        listed = [{"field": field, "message": sentence} for field, sentence in problems]
        return JSONResponse({"detail": listed}, code, headers)
    return render(
        request,
        "pages/error.html",
        block="message",
        status_code=code,
        headers={"HX-Retarget": "#notice", "HX-Reswap": "innerHTML", **(headers or {})},
        problems=problems,
        **{"title": _TITLES.get(code, "Something went wrong"), "again": False, **context},
    )

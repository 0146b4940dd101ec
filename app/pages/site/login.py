"""The page for a browser that comes without a token."""

import asyncio
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from app.access.guard import cookie_name, sign_in
from app.access.session import Sessions
from app.templating import render

router = APIRouter()


@router.get("/login")
async def show(request: Request, next: str = "/") -> Response:
    """Ask for the token; who is signed in already goes on."""
    if request.state.session is not None:
        return RedirectResponse(_local(next), status_code=303)
    return render(request, "pages/login.html", next=_local(next), error="")


@router.post("/login")
async def enter(request: Request) -> Response:
    """Sign in with the token, or say that it is not the one."""
    form = await request.form()
    token, following = str(form.get("token", "")).strip(), _local(str(form.get("next", "/")))
    sessions: Sessions = request.app.state.sessions
    if sessions.accepts(token):
        return sign_in(request, RedirectResponse(following, status_code=303), sessions)
    await asyncio.sleep(0.5)  # so that guessing takes its time
    error = (
        "This is not the token of this server. It is printed where the server was started, "
        "after `?token=`."
        if token
        else "The token is empty; expected the one that the server printed at its start."
    )
    return render(request, "pages/login.html", status_code=401, next=following, error=error)


@router.post("/logout")
async def leave(request: Request) -> Response:
    """Sign this browser out."""
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(cookie_name(request))
    return response


def _local(address: str) -> str:
    """An address on this server; anything else becomes the home page."""
    parts = urlsplit(address)
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if is_local and not parts.netloc and "\n" not in address else "/"

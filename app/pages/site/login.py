"""The page for a browser that comes without a token."""

from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.access.guard import LONGEST_NEXT, address_of, cookie_name, sign_in
from app.access.refusal import retry_after, too_many
from app.access.session import Session, Sessions
from app.backend import StoreDep
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
    if not token:
        error = "The token is empty; expected the one that the server printed at its start."
        return render(request, "pages/login.html", status_code=401, next=following, error=error)
    wait = sessions.try_token(token, address_of(request))
    if wait == 0.0:
        return sign_in(request, RedirectResponse(following, status_code=303), sessions)
    code, headers = 401, {}
    error = (
        "This is not the token of this server. It is printed where the server was started, "
        "after `?token=`, or is the value of LETHE_TOKEN there."
    )
    if wait:
        code, headers, error = 429, retry_after(wait), too_many(wait)
    return render(
        request,
        "pages/login.html",
        status_code=code,
        headers=headers,
        next=following,
        error=error,
    )


@router.post("/logout")
async def leave(request: Request, store: StoreDep) -> Response:
    """Sign this browser out, so that its cookie is worth nothing wherever it was copied to."""
    session: Session = request.state.session
    if session.nonce:
        await run_in_threadpool(store.end_session, session.nonce, session.until)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(cookie_name(request))
    return response


def _local(address: str) -> str:
    """An address on this server; anything else becomes the home page."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    if not is_local or "\n" in address or len(address) > LONGEST_NEXT:
        return "/"
    try:
        return "/" if urlsplit(address).netloc else address
    except ValueError:  # what urlsplit takes for a host, and is none
        return "/"

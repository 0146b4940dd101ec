"""The page for who is not signed in: it asks for the token, on a shared server for a password."""

from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse

from app.access import audit
from app.access.guard import LONGEST_NEXT, address_of, cookie_name, cookie_path, sign_in
from app.access.passwords import Passwords, let_in
from app.access.provider import Provider
from app.access.refusal import retry_after, too_many, too_many_passwords
from app.access.session import Session, Sessions
from app.backend import StoreDep
from app.templating import render
from worker.contract.people import Person
from worker.store.store import Store

router = APIRouter()


@router.get("/login")
async def show(request: Request, next: str = "/", left: str = "") -> Response:
    """Ask for the token; who is signed in already goes on, who has just `left` may leave more."""
    if request.state.session is not None:
        return RedirectResponse(local(next), status_code=303)
    if request.app.state.settings.shared:
        return page(request, 200, following=local(next), has_left=bool(left))
    return render(request, "pages/login.html", next=local(next), error="")


@router.post("/login")
async def enter(request: Request) -> Response:
    """Sign in with the token, or say that it is not the one."""
    form = await request.form()
    if request.app.state.settings.shared:
        return await run_in_threadpool(_enter_as, request, form)
    token, following = str(form.get("token", "")).strip(), local(str(form.get("next", "/")))
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


def _enter_as(request: Request, form: FormData) -> Response:
    """Sign in with name and password."""
    name, password = str(form.get("name", "")).strip(), str(form.get("password", ""))
    following = local(str(form.get("next", "/")))
    store: Store = request.app.state.opening.engine().store
    passwords: Passwords = request.app.state.passwords
    found = passwords.check(store, name, password, address_of(request))
    if isinstance(found, Person):
        audit.tell(request, found.name, found.name)
        return let_in(request, RedirectResponse(following, status_code=303), store, found)
    code, headers = 401, {}
    error = (
        "Name and password do not go together, or the account is shut. An admin of this server "
        "can set a new password."
    )
    if found:
        code, headers, error = 429, retry_after(found), too_many_passwords(found)
    return page(request, code, error, following, headers, name=name[:40])


def page(
    request: Request,
    code: int,
    refusal: str = "",
    following: str = "/",
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Response:
    """The page on which a person signs in, with the reason why they are not."""
    provider: Provider | None = request.app.state.provider
    shown = {"name": "", "has_left": False, **more}
    return render(
        request,
        "pages/login_person.html",
        status_code=code,
        headers=headers,
        next=following,
        error=refusal,
        provider=provider.title if provider else "",
        **shown,
    )


@router.post("/logout")
async def leave(request: Request, store: StoreDep) -> Response:
    """Sign this browser out, so that its cookie is worth nothing wherever it was copied to."""
    session: Session = request.state.session
    if session.identity.role == "guest":
        await run_in_threadpool(store.leave_class, session.identity.user)
    elif session.nonce and session.identity.role:
        await run_in_threadpool(store.end_sign_in, session.identity.user, session.nonce)
    elif session.nonce:
        await run_in_threadpool(store.end_session, session.nonce, session.until)
    left = "?left=1" if request.app.state.provider else ""
    response = RedirectResponse(f"/login{left}", status_code=303)
    response.delete_cookie(cookie_name(request), path=cookie_path(request))
    return response


def local(address: str) -> str:
    """An address on this server; anything else becomes the home page."""
    is_local = address.startswith("/") and not address.startswith(("//", "/\\"))
    if not is_local or "\n" in address or len(address) > LONGEST_NEXT:
        return "/"
    try:
        return "/" if urlsplit(address).netloc else address
    except ValueError:  # what urlsplit takes for a host, and is none
        return "/"

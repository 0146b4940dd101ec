"""A person's own account: where they are signed in, their scripts' tokens, their password."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse

from app.access import audit
from app.access.guard import address_of
from app.access.passwords import Passwords
from app.access.provider import Provider
from app.access.refusal import too_many_passwords
from app.access.session import Session
from app.backend import StoreDep
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.errors import UserError
from worker.contract.people import SHORTEST
from worker.store.store import Store

SHARED = True
DAY = 24 * 3600
DAYS = (("7", "a week"), ("30", "a month"), ("90", "three months"), ("365", "a year"))
BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox"}
BROWSERS |= {"Chrome/": "Chrome", "Safari/": "Safari"}
"""What browsers call themselves; each also says the names of those after it."""
SYSTEMS = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows"}
SYSTEMS |= {"Mac OS": "macOS", "Linux": "Linux"}
router = APIRouter(prefix="/account")


@router.get("")
def show(request: Request, store: StoreDep) -> Response:
    """The account of whoever asks."""
    return _page(request, store)


def _page(
    request: Request,
    store: Store,
    code: int = 200,
    errors: dict[str, str] | None = None,
    token: str = "",
) -> Response:
    session: Session = request.state.session
    name = session.identity.user
    provider: Provider | None = request.app.state.provider
    return render(
        request,
        "pages/account.html",
        status_code=code,
        # A token that was just made stands on this page alone: no copy of it may be kept.
        headers={"Cache-Control": "no-store"},
        me=store.person(name),
        limits=store.limits_of(name),
        used=store.used(name),
        sessions=[(one, browser_words(one.browser)) for one in store.sign_ins(name)],
        this=session.nonce,
        tokens=store.tokens(name),
        token=token,
        days=DAYS,
        shortest=SHORTEST,
        provider=provider.title if provider else "",
        errors=errors or {},
    )


def browser_words(said: str) -> str:
    """What a browser says that it is, in words that a reader knows it by."""
    name = next((words for part, words in BROWSERS.items() if part in said), "")
    system = next((words for part, words in SYSTEMS.items() if part in said), "")
    return " on ".join(filter(None, (name, system))) or said[:60] or "unknown"


@router.post("/password")
async def change_password(request: Request, store: StoreDep) -> Response:
    """Change the password, which ends every other session."""
    form = await request.form()
    session: Session = request.state.session
    passwords: Passwords = request.app.state.passwords
    name = session.identity.user
    try:
        refuse_odd_text([str(form.get("password", ""))])
        await run_in_threadpool(_change, store, passwords, session, form, address_of(request))
    except UserError as error:
        return await run_in_threadpool(_page, request, store, 422, dict(error.problems))
    audit.tell(request, name)
    return RedirectResponse("/account", status_code=303)


def _change(
    store: Store, passwords: Passwords, session: Session, form: FormData, address: str
) -> None:
    name, new = session.identity.user, str(form.get("password", ""))
    if new != str(form.get("again", "")):
        raise UserError("The two new passwords differ; type the same twice.", field="again")
    found = passwords.check(store, name, str(form.get("old", "")), address)
    if isinstance(found, float):
        words = too_many_passwords(found) if found else "This is not your present password."
        raise UserError(words, field="old")
    store.set_password(name, new, keep=session.nonce)


@router.post("/sessions/{id}/end")
def end_session(request: Request, id: str, store: StoreDep) -> Response:
    """Sign out one browser of this person's."""
    store.end_sign_in(request.state.session.identity.user, id)
    return RedirectResponse("/account", status_code=303)


@router.post("/tokens")
async def make_token(request: Request, store: StoreDep) -> Response:
    """Make a token and show it, this once."""
    form = await request.form()
    name = str(form.get("name", "")).strip()
    try:
        refuse_odd_text([name])
        lasts = _days(form.get("days")) * DAY
        owner = request.state.session.identity.user
        token = await run_in_threadpool(store.make_token, owner, name, lasts)
    except UserError as error:
        return await run_in_threadpool(_page, request, store, 422, dict(error.problems))
    audit.tell(request, name)
    return await run_in_threadpool(_page, request, store, 200, None, token)


def _days(given: Any) -> int:
    if given not in dict(DAYS):
        raise UserError(
            f"days is {str(given)[:20]!r}; expected one of {', '.join(dict(DAYS))}.", field="days"
        )
    return int(given)


@router.post("/tokens/{id}/revoke")
def revoke_token(request: Request, id: str, store: StoreDep) -> Response:
    """Let one of this person's tokens be worth nothing."""
    name = request.state.session.identity.user
    told = next((token.name for token in store.tokens(name) if token.id == id), id)
    store.revoke_token(name, id)
    audit.tell(request, told)
    return RedirectResponse("/account", status_code=303)

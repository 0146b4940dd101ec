"""People, for admins: invitations, roles, and who is shut out."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.access import audit
from app.backend import StoreDep
from app.pages.people.account import DAY
from app.templating import render
from worker.contract.errors import Conflict
from worker.contract.people import ROLES, Person, role_of
from worker.store.store import Store

SHARED = True
HOLDS = 7
"""Days for which an invitation holds."""
router = APIRouter(prefix="/people")


@router.get("")
def show(request: Request, store: StoreDep) -> Response:
    """Everybody, and the invitations that still hold."""
    return _page(request, store)


def _page(request: Request, store: Store, **shown: Any) -> Response:
    known = {"status_code": 200, "link": "", "error": "", **shown}
    return render(
        request,
        "pages/people.html",
        headers={"Cache-Control": "no-store"},
        people=store.people(),
        invitations=store.invitations(),
        roles=[(role, role) for role in ROLES],
        holds=HOLDS,
        **known,
    )


@router.post("/invitations")
async def invite(request: Request, store: StoreDep) -> Response:
    """Make an invitation and show its link, this once."""
    form = await request.form()
    role = role_of(str(form.get("role", "")))
    me = request.state.session.identity.user
    secret = await run_in_threadpool(store.invite, role, HOLDS * DAY, me)
    audit.tell(request, f"for a {role}")
    settings = request.app.state.settings
    asked = settings.public_url or str(request.base_url).rstrip("/")
    link = f"{asked}{settings.root_path}/invitation/{secret}"
    return await run_in_threadpool(lambda: _page(request, store, link=link))


@router.post("/invitations/{id}/withdraw")
def withdraw(request: Request, id: str, store: StoreDep) -> Response:
    """Let an invitation hold no longer."""
    store.withdraw(id)
    return RedirectResponse("/people", status_code=303)


@router.post("/{name}/role")
async def give_role(request: Request, name: str, store: StoreDep) -> Response:
    """Give a person another role."""
    role = role_of(str((await request.form()).get("role", "")))
    return await run_in_threadpool(_change, request, store, lambda: store.set_role(name, role))


@router.post("/{name}/disable")
def disable(request: Request, name: str, store: StoreDep) -> Response:
    """Shut a person out; what they made stays."""
    return _change(request, store, lambda: store.set_disabled(name, True))


@router.post("/{name}/enable")
def enable(request: Request, name: str, store: StoreDep) -> Response:
    """Let a person in again."""
    return _change(request, store, lambda: store.set_disabled(name, False))


def _change(request: Request, store: Store, change: Callable[[], Person]) -> Response:
    try:
        person = change()
    except Conflict as error:
        return _page(request, store, status_code=409, error=error.message)
    audit.tell(request, f"{person.name}, {person.role}")
    return RedirectResponse("/people", status_code=303)

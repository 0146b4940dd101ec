"""Classes: made by a teacher, joined by guests, watched and ended on one page."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.access.session import Identity
from app.backend import EngineDep, StoreDep
from app.failures import status
from app.pages.people._class_form import Typed, read, shown_of, untouched
from app.pages.people._class_steps import steps_of
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.classes import Class, days_of
from worker.contract.errors import Forbidden, NotFound, UserError
from worker.store.paging import COUNTED
from worker.store.store import Store

SHARED = True
RECENT = 50
"""Runs that a class's page shows; the list of runs has them all."""
router = APIRouter(prefix="/classes")


@router.get("")
def show(request: Request, store: StoreDep) -> Response:
    """Every class of the reader's; a guest's one class itself."""
    me = _me(request)
    if me.role == "guest":
        return RedirectResponse(f"/classes/{store.class_of_guest(me.user).id}", status_code=303)
    return _list(request, store, untouched())


@router.post("")
async def make(request: Request, store: StoreDep) -> Response:
    """Make a class and show its page with the join link, this once."""
    typed = Typed.of(await request.form())
    try:
        refuse_odd_text(typed.values)
        given = await run_in_threadpool(read, typed, store)
        made, secret = await run_in_threadpool(
            lambda: store.make_class(lasts=days_of(typed.values["days"]), **given)
        )
    except Forbidden:
        raise
    except UserError as error:
        typed.problems.update(error.problems)
        return await run_in_threadpool(_list, request, store, typed, status(error))
    return await run_in_threadpool(lambda: _page(request, store, made.id, secret=secret))


@router.get("/{id}")
def show_one(request: Request, id: str, store: StoreDep) -> Response:
    """A class: to its teacher with every guest's steps and runs, to a guest with the gallery."""
    return _page(request, store, id)


@router.post("/{id}")
async def change(request: Request, id: str, store: StoreDep) -> Response:
    """Give a class other rules, in force at once."""
    typed = Typed.of(await request.form())

    def change() -> None:
        refuse_odd_text(typed.values)
        given = read(typed, store)
        given.pop("title")
        store.change_class(id, **given)

    return await run_in_threadpool(_change, request, store, id, change, typed)


@router.post("/{id}/link")
async def renew(request: Request, id: str, store: StoreDep) -> Response:
    """Make another join link, and show it this once; the one before holds no longer."""
    days = str((await request.form()).get("days", ""))
    try:
        secret = await run_in_threadpool(lambda: store.renew_link(id, days_of(days)))
    except (Forbidden, NotFound):
        raise
    except UserError as error:
        return await run_in_threadpool(_refused, request, store, id, error)
    return await run_in_threadpool(lambda: _page(request, store, id, secret=secret))


@router.post("/{id}/link/revoke")
def revoke(request: Request, id: str, store: StoreDep) -> Response:
    """Let nobody else come in."""
    return _change(request, store, id, lambda: store.revoke_link(id))


@router.post("/{id}/guests/{person}/remove")
def remove(request: Request, id: str, person: str, store: StoreDep) -> Response:
    """Let a guest go."""
    return _change(request, store, id, lambda: store.remove_guest(id, person))


@router.post("/{id}/end")
def end(request: Request, id: str, engine: EngineDep) -> Response:
    """End the class: guests are signed out, what waits is cancelled, runs are archived."""
    return _change(request, engine.store, id, lambda: engine.end_class(id))


def _change(
    request: Request,
    store: Store,
    id: str,
    change: Callable[[], object],
    typed: Typed | None = None,
) -> Response:
    """Make a change and show the class, or say on its page why it could not be made."""
    store.one_class(id)
    try:
        change()
    except Forbidden:
        raise
    except UserError as error:
        return _refused(request, store, id, error, typed)
    return RedirectResponse(f"/classes/{id}", status_code=303)


def _refused(
    request: Request, store: Store, id: str, error: UserError, typed: Typed | None = None
) -> Response:
    known: dict[str, Any] = {"status_code": status(error)}
    if typed is None:
        return _page(request, store, id, error=error.message, **known)
    typed.problems.update(error.problems)
    return _page(request, store, id, typed=typed, **known)


def _list(request: Request, store: Store, typed: Typed, code: int = 200) -> Response:
    return render(
        request,
        "pages/classes.html",
        status_code=code,
        classes=store.classes(),
        may_make=_me(request).role in ("member", "admin"),
        **shown_of(typed, store),
    )


def _page(
    request: Request,
    store: Store,
    id: str,
    *,
    secret: str = "",
    typed: Typed | None = None,
    error: str = "",
    status_code: int = 200,
) -> Response:
    found, guests = store.one_class(id), store.guests(id)
    teaches = _me(request).role in ("member", "admin") and store.teaches(id)
    runs = store.runs_page(limit=RECENT, counted=COUNTED, project=found.project, archived=None)
    people = [guest.person for guest in guests]
    typed = typed or Typed.from_class(found)
    return render(
        request,
        "pages/class.html",
        status_code=status_code,
        headers={"Cache-Control": "no-store"},
        found=found,
        guests=guests,
        names={guest.person: guest.name for guest in guests},
        teaches=teaches,
        steps=steps_of(store, people, request.app.state.settings.lessons) if teaches else {},
        counts=store.runs_of_guests(id) if teaches else {},
        runs=runs.runs,
        n_runs=runs.n,
        link=_address(request, secret) if secret else "",
        error=error,
        me=_me(request).user,
        used=store.used(_me(request).user),
        limits=store.limits_of(_me(request).user),
        titles=_titles(store, found),
        **(shown_of(typed, store) if teaches else {}),
    )


def _titles(store: Store, found: Class) -> list[str]:
    """The class's methods as people call them."""
    menu = store.announcement()
    known = {f"{one.kind}/{one.name}": one.title for one in menu.methods} if menu else {}
    return [known.get(one, one.partition("/")[2]) for one in found.methods]


def _address(request: Request, secret: str) -> str:
    settings = request.app.state.settings
    asked = settings.public_url or str(request.base_url).rstrip("/")
    return f"{asked}{settings.root_path}/join/{secret}"


def _me(request: Request) -> Identity:
    identity: Identity = request.state.session.identity
    return identity

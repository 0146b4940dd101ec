"""Projects: those that a person is in, one with its members and runs, and how both change."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.access.session import Identity
from app.backend import StoreDep
from app.templating import render
from worker.contract.errors import Conflict, Forbidden, NotFound, UserError
from worker.contract.projects import PROJECT_ROLES, Project
from worker.store.paging import COUNTED
from worker.store.store import Store

NAV = ("Projects", "/projects")
SHARED = True
RECENT = 20
"""Runs that a project's page shows; the list of runs has them all."""
router = APIRouter(prefix="/projects")


@router.get("")
def show(request: Request, store: StoreDep) -> Response:
    """Every project of the reader's."""
    return _list(request, store)


@router.post("")
async def make(request: Request, store: StoreDep) -> Response:
    """Make a project and open it."""
    title = str((await request.form()).get("title", ""))
    try:
        made = await run_in_threadpool(store.make_project, title)
    except UserError as error:
        known = {"typed": title, "error": error.message, "status_code": 422}
        return await run_in_threadpool(lambda: _list(request, store, **known))
    return RedirectResponse(f"/projects/{made.id}", status_code=303)


@router.get("/{id}")
def show_one(request: Request, id: str, store: StoreDep) -> Response:
    """A project's members and its newest runs."""
    return _page(request, store, store.project(id))


@router.post("/{id}")
async def change(request: Request, id: str, store: StoreDep) -> Response:
    """Give it another title, or put it into the archive or take it out."""
    form = await request.form()
    given: dict[str, Any] = {"title": str(form["title"])} if "title" in form else {}
    if (doing := form.get("do")) in ("archive", "unarchive"):
        given["archived"] = doing == "archive"
    return await run_in_threadpool(
        _change, request, store, id, lambda: store.change_project(id, **given)
    )


@router.post("/{id}/members")
async def set_member(request: Request, id: str, store: StoreDep) -> Response:
    """Take a person in, or give a member another role."""
    form = await request.form()
    person, role = str(form.get("person", "")), str(form.get("role", ""))
    return await run_in_threadpool(
        _change,
        request,
        store,
        id,
        lambda: store.set_member(id, person, role),
        person,
    )


@router.post("/{id}/members/{person}/remove")
def remove(request: Request, id: str, person: str, store: StoreDep) -> Response:
    """Let a member go; whoever leaves goes back to the list."""
    is_own = person == _me(request).user and _me(request).role != "admin"
    return _change(
        request,
        store,
        id,
        lambda: store.remove_member(id, person),
        to="/projects" if is_own else "",
    )


def _change(
    request: Request,
    store: Store,
    id: str,
    change: Callable[[], object],
    typed: str = "",
    to: str = "",
) -> Response:
    """Make a change and show the project, or say on its page why it could not be made."""
    project = store.project(id)
    try:
        change()
    except Forbidden:
        raise
    except UserError as error:
        code = 409 if isinstance(error, Conflict) else 404 if isinstance(error, NotFound) else 422
        known = {"status_code": code, "error": error.message, "typed": typed}
        return _page(request, store, project, **known)
    return RedirectResponse(to or f"/projects/{id}", status_code=303)


def _list(request: Request, store: Store, **shown: Any) -> Response:
    known = {"status_code": 200, "typed": "", "error": "", **shown}
    return render(
        request,
        "pages/projects.html",
        projects=store.projects(),
        may_make=_me(request).role != "viewer",
        **known,
    )


def _page(request: Request, store: Store, project: Project, **shown: Any) -> Response:
    me = _me(request)
    found = store.runs_page(limit=RECENT, counted=COUNTED, project=project.id)
    known = {"status_code": 200, "typed": "", "error": "", **shown}
    return render(
        request,
        "pages/project.html",
        project=project,
        runs=found.runs,
        n_runs=found.n,
        limits=store.limits_of("", project.id),
        used=store.used("", project.id),
        roles=[(role, role) for role in PROJECT_ROLES],
        is_owner=me.role == "admin"
        or (me.role == "member" and project.role_of(me.user) == "owner"),
        may_leave=project.role_of(me.user) is not None,
        **known,
    )


def _me(request: Request) -> Identity:
    identity: Identity = request.state.session.identity
    return identity

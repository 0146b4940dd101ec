"""Limits, for admins: what each person and each project may take, and takes now."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.access import audit
from app.backend import StoreDep
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.errors import NotFound, UserError
from worker.contract.limits import Limits, limits_words, read_limits, size_text, time_words
from worker.store.store import Store

SHARED = True
PERSON, PROJECT = "person:", "project:"
"""How an address and the form name whom limits are for: with a name or an id behind it, and all of
them with nothing."""
router = APIRouter(prefix="/limits")


@router.get("")
def show(request: Request, store: StoreDep, whom: str = PERSON) -> Response:
    """What everybody takes beside their limits, and a form for one of them or all."""
    return _page(request, store, whom)


def _page(request: Request, store: Store, whom: str, **shown: Any) -> Response:
    known = {"status_code": 200, "errors": {}, **shown}
    people, projects = store.people(), store.projects()
    named = [(f"{PERSON}{one.name}", one.name) for one in people]
    titled = [(f"{PROJECT}{one.id}", one.title) for one in projects]
    choices = [
        ("People", [(PERSON, "everybody but admins"), *named]),
        ("Projects", [(PROJECT, "every project"), *titled]),
    ]
    return render(
        request,
        "pages/limits.html",
        whom=whom,
        choices=choices,
        rows=[(one, store.limits_of(one.name), store.used(one.name)) for one in people],
        projects=[(one, store.limits_of("", one.id), store.used("", one.id)) for one in projects],
        everybody=limits_words(store.limits().get("", Limits())),
        every_project=limits_words(store.project_limits().get("", Limits())),
        **{"typed": typed_limits(_set_for(store, whom)), **known},
    )


def _set_for(store: Store, whom: str) -> Limits:
    """The limits that somebody has of their own; raises NotFound for nobody."""
    person, project = _named(whom)
    if project is not None:
        if project:
            store.project(project)
        return store.project_limits().get(project, Limits())
    if person:
        store.person(person)
    return store.limits().get(person, Limits())


def _named(whom: str) -> tuple[str, str | None]:
    """The person, or the project's id, of a choice."""
    if whom.startswith(PROJECT):
        return "", whom.removeprefix(PROJECT)
    if whom.startswith(PERSON):
        return whom.removeprefix(PERSON), None
    raise NotFound(f"Nobody is named by {whom[:60]!r}; expected person:NAME or project:ID.")


def typed_limits(limits: Limits) -> dict[str, str]:
    """Limits as the form's fields hold them."""
    seconds, storage = limits.device_seconds, limits.storage
    return {
        "waiting": "" if limits.waiting is None else str(limits.waiting),
        "running": "" if limits.running is None else str(limits.running),
        "daily": "" if seconds is None else time_words(seconds),
        "storage": "" if storage is None else size_text(storage),
    }


@router.post("")
async def save(request: Request, store: StoreDep) -> Response:
    """Set somebody's limits; what cannot be read is said beside its field."""
    form = await request.form()
    typed = {key: str(form.get(key, "")) for key in ("waiting", "running", "daily", "storage")}
    whom = str(form.get("whom", ""))
    refuse_odd_text({**typed, "whom": whom})
    person, project = _named(whom)
    try:
        limits = read_limits(typed)
    except UserError as error:
        shown = {"status_code": 422, "errors": dict(error.problems), "typed": typed}
        return await run_in_threadpool(lambda: _page(request, store, whom, **shown))
    about = await run_in_threadpool(_set, store, person, project, limits)
    audit.tell(request, f"{about}: {limits_words(limits)}")
    return RedirectResponse("/limits", status_code=303)


def _set(store: Store, person: str, project: str | None, limits: Limits) -> str:
    """Set limits; of whom, for the audit log."""
    if project is None:
        store.set_limits(person, limits)
        return person or "everybody"
    store.set_project_limits(project, limits)
    return f"project {project} ({store.project(project).title})" if project else "every project"

"""Limits, for admins: what each person may take, and takes now."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.access import audit
from app.backend import StoreDep
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.errors import UserError
from worker.contract.limits import Limits, limits_words, read_limits, size_text, time_words
from worker.store.store import Store

SHARED = True
router = APIRouter(prefix="/limits")


@router.get("")
def show(request: Request, store: StoreDep, person: str = "") -> Response:
    """Everybody's use beside their limits, and a form for one person's or everybody's."""
    return _page(request, store, person)


def _page(request: Request, store: Store, person: str, **shown: Any) -> Response:
    if person:
        store.person(person)
    known = {"status_code": 200, "errors": {}, **shown}
    people = store.people()
    return render(
        request,
        "pages/limits.html",
        person=person,
        choices=[("", "everybody but admins"), *((one.name, one.name) for one in people)],
        rows=[(one, store.limits_of(one.name), store.used(one.name)) for one in people],
        everybody=limits_words(store.limits().get("", Limits())),
        **{"typed": typed_limits(store.limits().get(person, Limits())), **known},
    )


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
    """Set a person's limits, or everybody's; what cannot be read is said beside its field."""
    form = await request.form()
    typed = {key: str(form.get(key, "")) for key in ("waiting", "running", "daily", "storage")}
    person = str(form.get("person", ""))
    refuse_odd_text({**typed, "person": person})
    try:
        limits = read_limits(typed)
    except UserError as error:
        shown = {"status_code": 422, "errors": dict(error.problems), "typed": typed}
        return await run_in_threadpool(lambda: _page(request, store, person, **shown))
    await run_in_threadpool(store.set_limits, person, limits)
    audit.tell(request, f"{person or 'everybody'}: {limits_words(limits)}")
    return RedirectResponse("/limits", status_code=303)

"""Who may see something: a page for what has no page of its own, and where every form posts to."""

from dataclasses import replace

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.backend import StoreDep
from app.sharing_form import seen_of
from app.templating import render
from worker.contract.base import one_of
from worker.contract.errors import NotFound
from worker.store.sharing import MADE, Made

SHARED = True
router = APIRouter()
BACK: dict[Made, str] = {
    "run": "/runs",
    "fact set": "/facts",
    "mask": "/masks",
    "text": "/facts/texts",
    "circuit": "/explore",
}
"""Where one comes from."""


@router.get("/sharing")
def show(request: Request, store: StoreDep, what: str = "", id: str = "") -> Response:
    """Who sees one thing, and for its owner the choice."""
    chosen = one_of("kind of thing", what, MADE, "what")
    shared = store.shared(chosen, id)
    seen = seen_of(request, store, chosen, id, shared)
    if seen is None:
        raise NotFound(f"Who sees the {chosen} {id[:60]!r} is not chosen: it ships with Lethe.")
    title = shared.name if chosen != "mask" else f"Mask {shared.name}"
    return render(request, "pages/sharing.html", seen=replace(seen, title=title, back=BACK[chosen]))


@router.post("/sharing")
async def share(request: Request, store: StoreDep) -> Response:
    """Share something as the form says, and go back to its page.

    The choice is a visibility, or `project:ID`.
    """
    form = await request.form()
    what, id, back = (str(form.get(name, "")) for name in ("what", "id", "back"))
    visibility, _, project = str(form.get("seen", "")).partition(":")
    given = project or ("" if visibility == "private" else None)
    await run_in_threadpool(
        store.share, one_of("kind of thing", what, MADE, "what"), id, visibility, given
    )
    is_own = back.startswith("/") and not back.startswith(("//", "/\\"))
    return RedirectResponse(back if is_own else "/", status_code=303)

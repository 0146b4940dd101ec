"""Models: what there is to work on, what each is and needs, and which this device cannot take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.backend import AnnouncementDep, EngineDep, StoreDep
from app.recipes import ask_for_recipe, offers
from app.templating import render
from worker.contract.ability import model_of
from worker.contract.menu import Announcement, ModelInfo

NAV = ("Models", "/models")
router = APIRouter()

NEEDS = (
    ("load", "Held in memory"),
    ("explore", "Explore"),
    ("localize", "Localize"),
    ("evaluate", "Evaluate an edit, all components"),
    ("unlearn", "Unlearn, all components"),
)
"""The entries of ModelInfo.memory_bytes in the order in which they are shown."""
NEEDS_8BIT = (("load", "Held in memory, in 8 bits"), ("localize", "Localize, in 8 bits"))
"""The entries of ModelInfo.memory_bytes_8bit."""


STATES = ("hot", "cold", "too large", "unsupported")
"""From what can be worked on at once to what cannot be."""


@dataclass(frozen=True)
class Shown:
    """A model with its state on a worker's device."""

    info: ModelInfo
    state: str
    """One of STATES."""
    why: str = ""
    too_large_for: tuple[str, ...] = ()
    """The kinds of run that need more memory than there is."""
    without: tuple[tuple[str, str], ...] = ()
    """Methods that its architecture rules out, and why."""


@router.get("/models")
def show(request: Request, menu: AnnouncementDep, store: StoreDep) -> Response:
    """Every model that the workers' roots hold, those that can be used first."""
    menus = store.menus()
    shown = [
        replace(best_state(info.id, menus or {"": menu}), without=ruled_out(info, menu))
        for info in menu.models
    ]
    return render(
        request,
        "pages/models.html",
        block="list",
        models=sorted(shown, key=lambda one: one.state == "unsupported"),
        needs=NEEDS,
        needs_8bit=NEEDS_8BIT,
        menu=menu,
        offers=offers(store, menu),
    )


@router.post("/models/add")
async def add(request: Request, engine: EngineDep) -> Response:
    """Ask a worker for a recipe's model, once however often it is asked, and show its run."""
    name = str((await request.form()).get("recipe", ""))
    owner = request.state.session.identity.user
    run_id = await run_in_threadpool(ask_for_recipe, engine, name, owner)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


def best_state(id: str, menus: Mapping[str, Announcement]) -> Shown:
    """A model as the worker has it that can do most with it; workers by their ids, which are empty
    where none is alive."""
    found = [
        state_of(info, menu, is_alive=bool(worker))
        for worker, menu in menus.items()
        if (info := model_of(menu, id)) is not None
    ]
    return min(found, key=lambda one: STATES.index(one.state))


def state_of(info: ModelInfo, menu: Announcement, is_alive: bool = True) -> Shown:
    """Say whether a model is loaded, can be, or why it cannot; without a worker none is loaded."""
    if info.problem:
        return Shown(info, "unsupported", info.problem)
    memory = menu.memory_bytes
    large = tuple(
        words for kind, words in NEEDS if memory and info.memory_bytes.get(kind, 0) > memory
    )
    if memory and info.memory_bytes.get("load", 0) > memory:
        why = "Its weights alone need more memory than the device has."
        if 0 < info.memory_bytes_8bit.get("localize", 0) <= memory:
            why += " In 8 bits it can be localized in."
        return Shown(info, "too large", why, large)
    if info.loaded and is_alive:
        return Shown(info, "hot", "Its weights are in memory: runs on it start at once.", large)
    return Shown(info, "cold", "It is loaded when a run asks for it.", large)


def ruled_out(info: ModelInfo, menu: Announcement) -> tuple[tuple[str, str], ...]:
    """The titles of the methods that a model's architecture rules out, by reason."""
    found = []
    for need, why in info.lacks.items():
        if titles := [method.title for method in menu.methods if need in method.needs]:
            found.append((", ".join(titles), why))
    return tuple(found)

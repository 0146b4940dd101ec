"""Models that a worker can fetch and make: what a page offers, and asking for one once."""

from dataclasses import dataclass

from app.submission import submit
from worker.contract.menu import Announcement, RecipeInfo
from worker.contract.progress import FINAL_STATES
from worker.contract.records import RunRecord
from worker.engine.client import Engine
from worker.store.store import Store


@dataclass(frozen=True)
class Offer:
    """A recipe whose model is not there yet."""

    recipe: RecipeInfo
    run: RunRecord | None
    """The latest run that makes it, unless that has ended well or was cancelled."""

    @property
    def is_being_made(self) -> bool:
        return self.run is not None and self.run.state not in FINAL_STATES


def offers(store: Store, announcement: Announcement | None) -> list[Offer]:
    """Every recipe whose model no worker lists."""
    if announcement is None:
        return []
    here = {info.id for info in announcement.models}
    return [
        Offer(recipe, _latest(store, recipe.name))
        for recipe in announcement.recipes
        if recipe.name not in here
    ]


def ask_for_recipe(engine: Engine, name: str, owner: str = "") -> str:
    """Queue the making of a recipe's model, unless a run makes it now; return that run's id.

    Raises UserError for a recipe that no worker has, or whose model is there.
    """
    run = _latest(engine.store, name)
    if run is not None and run.state not in FINAL_STATES:
        return run.id
    return submit(engine, {"kind": "add", "model": name}, owner=owner)


def _latest(store: Store, name: str) -> RunRecord | None:
    found = store.runs(kind="add", model=name, limit=1)
    return found[0] if found and found[0].state not in ("done", "cancelled") else None

"""What workers have announced, or in words why nobody can answer."""

from worker.contract import visitors
from worker.contract.classes import narrowed
from worker.contract.errors import UserError
from worker.contract.menu import Announcement
from worker.store.store import Store


class NoWorker(UserError):
    """Nobody can answer."""


class Unreachable(NoWorker):
    """Workers are alive and compute runs, and this process reaches none of their lanes."""


class WorkerBusy(NoWorker):
    """A worker is alive and starts, or computes something else for longer than one can wait."""


def announced(store: Store, said: dict[str, Announcement] | None = None) -> Announcement:
    """What workers can do, of `said` where the store's `menus` were asked for already.

    Before any was ever here it raises what `nobody` says.
    """
    found = offered(store, said)
    if found is None:
        raise nobody(store)
    return found


def offered(store: Store, said: dict[str, Announcement] | None = None) -> Announcement | None:
    """What workers can do, to a guest what of it their class allows, to a visitor what is held
    open; None before any was here."""
    found = store.announcement(said)
    if found is not None and store.acting.visit is not None:
        return visitors.narrowed(store.acting.visit, found)
    if found is None or not store.acting.is_guest:
        return found
    return narrowed(store.class_of_guest(store.acting.person), found)


def nobody(store: Store) -> NoWorker:
    """Why nobody is ready: WorkerBusy while a worker starts, which is worth another try; NoWorker
    with what keeps it from getting ready, or with how to start one."""
    alive = [worker for worker in store.workers() if worker.alive and not worker.ready]
    if not alive:
        return NoWorker("No worker is alive to answer. Start one with `lethe worker`.")
    if problems := [worker.problem for worker in alive if worker.problem]:
        return NoWorker(f"The worker does not get ready. {problems[0]}")
    return WorkerBusy(
        "The worker is starting, and has not said yet which models, facts and methods it has. "
        "That takes a few seconds, on a busy machine up to a minute. Ask again then."
    )

"""What a route needs of the worker's side: the engine and its store, as FastAPI dependencies."""

from typing import Annotated

from fastapi import Depends, Request

from app.access import audit
from app.access.session import Identity, Session
from app.opening import Opening
from worker.contract.menu import Announcement
from worker.engine.announced import announced
from worker.engine.client import Engine
from worker.store.acting import Acting
from worker.store.store import Store


def engine(request: Request) -> Engine:
    """The open engine, for the session that asks; raises Unavailable while the database cannot be
    opened."""
    opening: Opening = request.app.state.opening
    session: Session | None = request.state.session
    opened = opening.engine()
    if not request.app.state.settings.shared:
        return opened.of_session(session.turns if session else "")
    who = session.identity if session else Identity()

    def tell(what: str) -> None:
        audit.tell(request, what)

    may_open = request.app.state.settings.anybody
    acting = Acting(
        who.user,
        may_all=who.role == "admin",
        is_guest=who.role == "guest",
        tell=tell,
        may_open=may_open,
        visit=request.scope["state"].get("visit"),
    )
    return opened.of_session(session.turns if session else "", acting)


def store(request: Request) -> Store:
    """The engine's store."""
    return engine(request).store


def announcement(request: Request) -> Announcement:
    """What workers can do; raise NoWorker before any worker was ever here."""
    return announced(store(request))


EngineDep = Annotated[Engine, Depends(engine)]
StoreDep = Annotated[Store, Depends(store)]
AnnouncementDep = Annotated[Announcement, Depends(announcement)]

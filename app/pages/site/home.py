"""Home: what this is, where to start, what ran last, who computes."""

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from app.backend import StoreDep
from app.recipes import offers
from app.templating import person_of, render
from worker.contract.records import RunRecord
from worker.engine.announced import offered
from worker.engine.examples import EXAMPLE, EXAMPLES, shown
from worker.store.store import Store

NAV = ("Home", "/")
RECENT = 6
"""Runs that the page lists."""
router = APIRouter()


@router.get("/")
def show(request: Request, store: StoreDep) -> Response:
    """Show the way in, the last runs and the workers; to a guest, their class."""
    person = person_of(request)
    if person is not None and person.role == "guest":
        return RedirectResponse("/classes", status_code=303)
    announcement = offered(store)
    return render(
        request,
        "pages/home.html",
        runs=_own(store),
        busy=any(worker.run for worker in store.workers()),
        models=announcement.models if announcement else (),
        offers=offers(store, announcement),
        fact_sets=store.fact_sets(),
        examples=list(shown()),
    )


def _own(store: Store) -> list[RunRecord]:
    """The newest runs that somebody asked for here, not those that came with Lethe."""
    newest = store.runs(limit=RECENT + len(EXAMPLES), of_study=False)
    return [run for run in newest if EXAMPLE not in run.tags][:RECENT]

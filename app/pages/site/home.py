"""Home: what this is, where to start, what ran last, who computes."""

from fastapi import APIRouter, Request, Response

from app.backend import StoreDep
from app.pages.studies.gallery import SHIPPED
from app.recipes import offers
from app.templating import render

NAV = ("Home", "/")
router = APIRouter()


@router.get("/")
def show(request: Request, store: StoreDep) -> Response:
    """Show the way in, the last runs and the workers."""
    announcement = store.announcement()
    return render(
        request,
        "pages/home.html",
        runs=store.runs(limit=6, of_study=False),
        busy=any(worker.run for worker in store.workers()),
        models=announcement.models if announcement else (),
        offers=offers(store, announcement),
        fact_sets=store.fact_sets(),
        examples=[(name, one.title) for name, one in SHIPPED.items()],
    )

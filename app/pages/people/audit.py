"""The audit log, for admins: who changed what, when, and from where."""

from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from app import csv_text
from app.backend import StoreDep
from app.templating import render
from worker.store.store import Store

SHARED = True
PAGE = 50
router = APIRouter()


@router.get("/audit")
def show(
    request: Request,
    store: StoreDep,
    person: str = "",
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> Response:
    """A page of the log, newest first."""
    kept = {"person": person} if person else {}

    def page(at: int) -> str:
        return "/audit?" + urlencode({**kept, "offset": at} if at else kept)

    return render(
        request,
        "pages/audit.html",
        block="list",
        entries=store.audit(person, PAGE, offset),
        total=store.count_audit(person),
        offset=offset,
        limit=PAGE,
        page=page,
        person=person,
        people=[("", "Everybody"), *((one.name, one.name) for one in store.people())],
        query=urlencode(kept),
    )


@router.get("/audit.csv")
def table(store: StoreDep, person: str = "") -> Response:
    """The whole log as a table."""
    return csv_text.respond(_rows(store, person), "audit.csv")


def _rows(store: Store, person: str) -> Iterator[tuple[Any, ...]]:
    yield "time", "person", "what", "about", "address"
    for entry in store.whole_audit(person):
        yield entry.at.isoformat(), entry.person, entry.what, entry.about, entry.address

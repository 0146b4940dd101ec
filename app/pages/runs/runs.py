"""Runs: the list with its filters, and what can be done to many at once."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.responses import RedirectResponse

from app.backend import EngineDep, StoreDep
from app.submission import refuse_odd_text
from app.templating import render, wants_fragment
from worker.contract.base import unknown
from worker.contract.errors import UserError
from worker.contract.progress import FINAL_STATES
from worker.contract.projects import Project
from worker.engine.client import Engine
from worker.store.paging import COUNTED, Place, read_place
from worker.store.store import Store

NAV = ("Runs", "/runs")
PAGE = 30
KINDS = ("localize", "unlearn", "evaluate", "explore", "study", "export", "add")
STATES = ("queued", "loading", "running", "interrupted", "done", "failed", "cancelled")
FILTERS = ("search", "kind", "state", "model", "owner", "project", "tag", "show")
DOINGS = ("star", "unstar", "tag", "archive", "unarchive", "cancel", "delete")
router = APIRouter()


@router.get("/runs")
def show(request: Request, store: StoreDep) -> Response:
    """The runs that the address' filters leave, newest first."""
    return render(request, "pages/runs.html", block="list", **listing(store, request.query_params))


def listing(store: Store, asked: QueryParams, said: str = "") -> dict[str, Any]:
    """What the list shows for an address' filters, from the place on that the address names.

    `at` is how many runs come before that place. It is told, not counted: it is only shown.
    """
    typed = {name: asked.get(name, "") for name in FILTERS}
    kept = {name: value for name, value in typed.items() if value}
    places = {name: asked[name] for name in ("after", "before") if asked.get(name)}
    found = store.runs_page(
        limit=PAGE,
        counted=COUNTED,
        after=_place(places, "after"),
        before=_place(places, "before"),
        **read_filters(asked),
    )
    if places and not found.runs:
        return listing(store, QueryParams(kept), said)
    at = 0 if found.begins else _at(asked)
    is_more = at + found.n > COUNTED and found.n > PAGE

    def page(to: int) -> str:
        """The address of this page, of the one after it or of the one before."""
        if to <= 0 or not found.places:
            return _address(kept)
        if to == at:
            return _address({**kept, **places, "at": at})
        after = to > at
        place = found.places[-1 if after else 0]
        return _address({**kept, "after" if after else "before": place, "at": to})

    return {
        "runs": found.runs,
        "total": max(COUNTED, at + PAGE) if is_more else at + found.n,
        "is_more": is_more,
        "offset": at,
        "limit": PAGE,
        "typed": typed,
        "page": page,
        "kinds": _choices(KINDS),
        "states": _choices(STATES),
        "models": _choices(_models(store)),
        "projects": [("", "Any"), *((one.id, one.title) for one in _projects(store))],
        "is_open": any(run.state not in FINAL_STATES for run in found.runs),
        "said": said,
    }


def _place(places: Mapping[str, str], name: str) -> Place | None:
    return read_place(places[name], name) if name in places else None


def _address(asked: Mapping[str, object]) -> str:
    return f"/runs?{urlencode(asked)}" if asked else "/runs"


def _choices(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [("", "Any"), *((name, name) for name in names)]


def _models(store: Store) -> tuple[str, ...]:
    announcement = store.announcement()
    return tuple(model.id for model in announcement.models) if announcement else ()


def _projects(store: Store) -> list[Project]:
    """The reader's projects; there are none on a server of one reader."""
    return store.projects() if store.acting.person else []


def read_filters(asked: QueryParams) -> dict[str, Any]:
    """The store's filters from an address; what no run can have finds nothing."""
    filters: dict[str, Any] = {
        name: asked[name] for name in FILTERS if name != "show" and asked.get(name)
    }
    shown = asked.get("show", "")
    filters["archived"] = {"archived": True, "all": None}.get(shown, False)
    if shown == "starred":
        filters["starred"] = True
    return filters


def _at(asked: QueryParams) -> int:
    text = asked.get("at", "0")
    return int(text) if text.isdecimal() and len(text) < 10 else 0


@router.post("/runs/many")
async def many(request: Request, engine: EngineDep) -> Response:
    """Do one thing to every chosen run, and show the list again."""
    form = await request.form()
    problems = await run_in_threadpool(_do_to_many, engine, form)
    back = str(form.get("back", ""))
    address = f"/runs?{back}" if back else "/runs"
    if not wants_fragment(request) and not problems:
        return RedirectResponse(address, status_code=303)
    known = await run_in_threadpool(listing, engine.store, QueryParams(back), " ".join(problems))
    code = 422 if problems else 200
    return render(request, "pages/runs.html", block="list", status_code=code, **known)


def _do_to_many(engine: Engine, form: FormData) -> list[str]:
    """Do what is asked to each run; the sentences of those that refused it."""
    ids = [str(one) for one in form.getlist("run")]
    doing = str(form.get("do", ""))
    if not ids:
        return ["No run is selected; tick the runs this is for."]
    if doing not in DOINGS:
        return [unknown("action", doing, list(DOINGS)).message]
    problems = []
    for run_id in ids:
        try:
            act(engine, run_id, doing, str(form.get("tag", "")))
        except UserError as error:
            problems.append(error.message)
    return list(dict.fromkeys(problems))


def act(engine: Engine, run_id: str, doing: str, tag: str = "") -> None:
    """Do one thing to one run; raise UserError where it cannot be."""
    store = engine.store
    if doing in ("star", "unstar"):
        store.update_run(run_id, starred=doing == "star")
    elif doing in ("archive", "unarchive"):
        store.update_run(run_id, archived=doing == "archive")
    elif doing == "cancel":
        store.run(run_id)
        engine.cancel(run_id)
    elif doing == "delete":
        store.delete_run(run_id)
    else:
        refuse_odd_text(tag)
        if not tag.strip():
            raise UserError("The tag is empty; expected a word to find these runs by.", field="tag")
        tags = [part.strip() for part in tag.split(",")]
        store.update_run(run_id, tags=[*store.run(run_id).tags, *tags])

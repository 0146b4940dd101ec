"""Runs: the list with its filters, and what can be done to many at once."""

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
from worker.engine.client import Engine
from worker.store.store import Store

NAV = ("Runs", "/runs")
PAGE = 30
COUNTED = 10_000
"""Of more runs the list says only that they are more: to count them takes longer than to show."""
KINDS = ("localize", "unlearn", "evaluate", "explore", "study", "export", "add")
STATES = ("queued", "loading", "running", "interrupted", "done", "failed", "cancelled")
FILTERS = ("search", "kind", "state", "model", "owner", "tag", "show")
DOINGS = ("star", "unstar", "tag", "archive", "unarchive", "cancel", "delete")
router = APIRouter()


@router.get("/runs")
def show(request: Request, store: StoreDep) -> Response:
    """The runs that the address' filters leave, newest first."""
    return render(request, "pages/runs.html", block="list", **listing(store, request.query_params))


def listing(store: Store, asked: QueryParams, said: str = "") -> dict[str, Any]:
    """What the list shows for an address' filters."""
    filters = read_filters(asked)
    offset = _offset(asked)
    typed = {name: asked.get(name, "") for name in FILTERS}
    runs = store.runs(**filters, limit=PAGE + 1, offset=offset)
    total, is_more = _total(store, filters, offset, len(runs))
    kept = {name: value for name, value in typed.items() if value}

    def page(at: int) -> str:
        return "/runs?" + urlencode({**kept, "offset": at} if at else kept)

    return {
        "runs": runs[:PAGE],
        "total": total,
        "is_more": is_more,
        "offset": offset,
        "limit": PAGE,
        "typed": typed,
        "page": page,
        "kinds": _choices(KINDS),
        "states": _choices(STATES),
        "models": _choices(_models(store)),
        "is_open": any(run.state not in FINAL_STATES for run in runs[:PAGE]),
        "said": said,
    }


def _total(store: Store, filters: dict[str, Any], offset: int, n: int) -> tuple[int, bool]:
    """How many runs match, and whether there are more: no more than `COUNTED` are counted."""
    if n <= PAGE and (n or not offset):
        return offset + n, False
    total = store.count_runs(most=COUNTED + 1, **filters)
    if total <= COUNTED:
        return total, False
    return max(COUNTED, offset + PAGE), True


def _choices(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [("", "Any"), *((name, name) for name in names)]


def _models(store: Store) -> tuple[str, ...]:
    announcement = store.announcement()
    return tuple(model.id for model in announcement.models) if announcement else ()


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


def _offset(asked: QueryParams) -> int:
    text = asked.get("offset", "0")
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

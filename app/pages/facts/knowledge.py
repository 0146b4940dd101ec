"""What a model knows: every fact of a set with its probability and rank, filtered by a bound."""

import math
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.responses import RedirectResponse

from app import knowledge
from app.backend import AnnouncementDep, EngineDep
from app.drawing.find import offers
from app.experiment import model_choices, read_model
from app.figure_frames import figure_of
from app.pages.facts.facts import chosen_set
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.errors import NotFound, UserError
from worker.contract.menu import Announcement, FactSetInfo
from worker.contract.progress import FINAL_STATES
from worker.engine.client import Engine

router = APIRouter(prefix="/facts/knowledge")
PAGE = 50
SHOW = (("", "all facts"), ("known", "known"), ("unknown", "not known"))
Problems = list[tuple[str, str]]


@router.get("")
def show(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """The measurement that the address names, or the way to make it."""
    known = context(engine, menu, request.query_params, [])
    code = 422 if known["errors"] else 200
    return render(request, "pages/knowledge.html", block="known", status_code=code, **known)


def context(
    engine: Engine, menu: Announcement, asked: QueryParams | FormData, problems: Problems
) -> dict[str, Any]:
    """What the page shows for an address, or for a form that was refused."""
    store = engine.store
    sets = store.fact_sets()
    chosen = chosen_set(store, sets, str(asked.get("set", "")))
    value = str(asked.get("model", "")) or next((m.id for m in menu.models if not m.problem), "")
    bound, problems = _bound(asked, problems)
    found = None
    if chosen is not None:
        model = _model(value, engine, menu, problems)
        found = knowledge.find(store, chosen, model) if model is not None else None
    return {
        "chosen": chosen,
        "sets": [(one.name, f"{one.title or one.name} ({one.n_facts})") for one in sets],
        "models": model_choices(store, menu),
        "model": value,
        "bound": f"{bound:g}",
        "show": str(asked.get("show", "")),
        "shows": SHOW,
        "found": found,
        "is_open": found is not None and found.run.state not in FINAL_STATES,
        "errors": dict(problems),
        "split": str(asked.get("split", "")),
        **_rows(found, bound, asked, chosen, value),
    }


def _model(value: str, engine: Engine, menu: Announcement, problems: Problems) -> Any:
    """The model as a spec names it; None, with a problem, for one that is none."""
    try:
        model = read_model(value, engine.store)
    except UserError as error:
        problems += error.problems
        return None
    base, _ = knowledge.base_and_edits(model)
    if all(info.id != base for info in menu.models):
        known = ", ".join(info.id for info in menu.models)
        problems.append(("model", f"No model {value[:60]!r}. There are: {known}."))
        return None
    return model


def _bound(asked: QueryParams | FormData, problems: Problems) -> tuple[float, Problems]:
    text = str(asked.get("bound", "0.5")).strip().replace(",", ".") or "0.5"
    try:
        bound = float(text)
        if not (math.isfinite(bound) and 0 < bound <= 1):
            raise ValueError(text)
    except ValueError:
        sentence = f"bound is {text[:40]!r}; expected a probability above 0 and at most 1."
        return 0.5, [*problems, ("bound", sentence)]
    return bound, list(problems)


def _rows(
    found: knowledge.Measurement | None,
    bound: float,
    asked: QueryParams | FormData,
    chosen: FactSetInfo | None,
    model: str,
) -> dict[str, Any]:
    """A page of the facts that match, the least likely first, and the figures of their run."""
    facts = found.facts if found else ()
    which, text = str(asked.get("show", "")), str(asked.get("offset", "0"))
    matching = [
        fact for fact in facts if not which or (fact.probability >= bound) == (which == "known")
    ]
    matching.sort(key=lambda fact: fact.probability)
    offset = int(text) if text.isdecimal() and len(text) < 10 else 0
    kept = {"set": chosen.name if chosen else "", "model": model, "bound": f"{bound:g}"}
    kept |= {"show": which} if which else {}

    def page(at: int) -> str:
        return "/facts/knowledge?" + urlencode({**kept, "offset": at} if at else kept)

    drawn = offers(found.result) if found and found.result else []
    drawn = [one for one in drawn if one.figure == "curves"]
    return {
        "facts": matching[offset : offset + PAGE],
        "total": len(matching),
        "n_known": len(knowledge.known_ids(facts, bound)),
        "n_first": sum(fact.rank == 1 for fact in facts),
        "has_before": bool(facts) and facts[0].before is not None,
        "offset": offset,
        "limit": PAGE,
        "page": page,
        "query": urlencode(kept),
        "figures": [figure_of(found.run, one) for one in drawn if found] if found else [],
    }


@router.post("")
async def measure(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """Queue the measurement, unless these weights were measured on these facts before."""
    form = await request.form()
    owner = request.state.session.identity.user
    try:
        await run_in_threadpool(_measure, engine, form, owner)
    except NotFound:
        raise
    except UserError as error:
        return await run_in_threadpool(_refused, request, engine, menu, form, error)
    kept = {name: str(form.get(name, "")) for name in ("set", "model", "bound")}
    return RedirectResponse(f"/facts/knowledge?{urlencode(kept)}", status_code=303)


def _measure(engine: Engine, form: FormData, owner: str) -> str:
    chosen = _chosen(engine, form)
    return knowledge.measure(engine, chosen, read_model(_text(form, "model"), engine.store), owner)


@router.post("/split")
async def split(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """Save the facts that the model knows as a split."""
    form = await request.form()
    try:
        name = await run_in_threadpool(_save, engine, form)
    except NotFound:
        raise
    except UserError as error:
        return await run_in_threadpool(_refused, request, engine, menu, form, error)
    return RedirectResponse(f"/facts?{urlencode({'set': name})}", status_code=303)


def _save(engine: Engine, form: FormData) -> str:
    chosen, problems = _chosen(engine, form), Problems()
    bound, problems = _bound(form, problems)
    if problems:
        raise UserError(problems=problems)
    found = knowledge.find(engine.store, chosen, read_model(_text(form, "model"), engine.store))
    ids = knowledge.known_ids(found.facts, bound) if found else []
    if not ids:
        raise UserError(
            f"The model gives no fact a probability of at least {bound:g}; expected at least one. "
            f"Lower the bound, or measure the set first.",
            field="bound",
        )
    name = _text(form, "split")
    refuse_odd_text([name])
    if not name or len(name) > 100:
        raise UserError(
            f"name has {len(name)} characters; expected 1 to 100, to find the split by.",
            field="split",
        )
    try:
        engine.store.save_split(chosen.name, name, ids)
    except NotFound:
        raise
    except UserError as error:
        raise UserError(error.message, field="split") from None
    return chosen.name


def _refused(
    request: Request, engine: Engine, menu: Announcement, form: FormData, error: UserError
) -> Response:
    known = context(engine, menu, form, error.problems)
    return render(request, "pages/knowledge.html", block="known", status_code=422, **known)


def _chosen(engine: Engine, form: FormData) -> FactSetInfo:
    chosen = chosen_set(engine.store, engine.store.fact_sets(), _text(form, "set"))
    if chosen is None:
        raise UserError("There is no fact set yet; bring one first.", field="set")
    return chosen


def _text(form: FormData, name: str) -> str:
    return str(form.get(name, "")).strip()

"""What a model knows: every fact of a set with its probability and rank, filtered by a bound."""

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
from app.known_form import AMONG, SHOTS, read_known
from app.pages.facts.facts import chosen_set
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.errors import NotFound, UserError
from worker.contract.known import Asked, Known
from worker.contract.menu import Announcement, FactSetInfo
from worker.contract.progress import FINAL_STATES
from worker.contract.recalled import WAYS
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
    known, problems = _known(asked, problems)
    found = None
    if chosen is not None:
        model = _model(value, engine, menu, problems)
        found = knowledge.find(store, chosen, model) if model is not None else None
    way = _way(asked, found)
    return {
        "chosen": chosen,
        "sets": [(one.name, f"{one.title or one.name} ({one.n_facts})") for one in sets],
        "models": model_choices(store, menu),
        "model": value,
        "known": known,
        "fields": _fields(known, way),
        "amongs": list(AMONG.items()),
        "ways": [(name, SHOTS[name]) for name in WAYS],
        "way": way,
        "show": str(asked.get("show", "")),
        "shows": SHOW,
        "found": found,
        "is_open": found is not None and found.run.state not in FINAL_STATES,
        "errors": dict(problems),
        "split": str(asked.get("split", "")),
        **_rows(found, known, way, asked, chosen, value),
    }


def _fields(known: Known, way: Asked) -> dict[str, str]:
    """What counts as known, as an address says it."""
    return {
        "among": known.among,
        "probability": f"{known.probability:g}",
        "rank": str(known.rank),
        "shot": way,
    }


def _way(asked: QueryParams | FormData, found: knowledge.Measurement | None) -> Asked:
    """The way of asking that is shown: the one that is asked for, else the one proposed."""
    wanted = str(asked.get("shot", "")) or (found.proposed if found else "none")
    return "one" if wanted == "one" and found and "one" in found.ways else "none"


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


def _known(asked: QueryParams | FormData, problems: Problems) -> tuple[Known, Problems]:
    try:
        return read_known(lambda name, default: str(asked.get(name, default))), list(problems)
    except UserError as error:
        return Known(), [*problems, *error.problems]


def _rows(
    found: knowledge.Measurement | None,
    known: Known,
    way: Asked,
    asked: QueryParams | FormData,
    chosen: FactSetInfo | None,
    model: str,
) -> dict[str, Any]:
    """A page of the facts that match, the least likely first, and the figures of their run."""
    facts = found.ways.get(way, ()) if found else ()
    which, text = str(asked.get("show", "")), str(asked.get("offset", "0"))
    matching = [fact for fact in facts if not which or known.holds(fact.told) == (which == "known")]
    by_share = known.among == "answers"
    matching.sort(key=lambda fact: fact.told.share if by_share else fact.told.probability)
    offset = int(text) if text.isdecimal() and len(text) < 10 else 0
    kept = {"set": chosen.name if chosen else "", "model": model, **_fields(known, way)}
    kept |= {"show": which} if which else {}

    def page(at: int) -> str:
        return "/facts/knowledge?" + urlencode({**kept, "offset": at} if at else kept)

    drawn = offers(found.result) if found and found.result else []
    drawn = [one for one in drawn if one.figure == "curves"]
    return {
        "facts": matching[offset : offset + PAGE],
        "total": len(matching),
        "n_facts": len(facts),
        "n_known": len(knowledge.known_ids(facts, known)),
        "shares": {
            name: len(knowledge.known_ids(rows, known)) / max(1, len(rows))
            for name, rows in (found.ways.items() if found else ())
        },
        "n_first": sum(fact.told.rank == 1 for fact in facts),
        "n_place": sum(fact.told.place == 1 for fact in facts),
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
    names = ("set", "model", "among", "probability", "rank", "shot")
    kept = {name: str(form[name]) for name in names if name in form}
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
    known, problems = _known(form, problems)
    if problems:
        raise UserError(problems=problems)
    found = knowledge.find(engine.store, chosen, read_model(_text(form, "model"), engine.store))
    way = _way(form, found)
    ids = knowledge.known_ids(found.ways.get(way, ()), known) if found else []
    if not ids:
        raise UserError(
            f"The model knows no fact with {known.words}; expected at least one. Lower the bounds, "
            f"or measure the set first.",
            field="probability",
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

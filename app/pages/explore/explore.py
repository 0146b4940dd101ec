"""Explore: a model, a prompt or a pair, and every view of what happens inside, at once."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse, StreamingResponse

from app.access.session import Session
from app.backend import AnnouncementDep, EngineDep
from app.downloads import attachment
from app.drawing.drawing import Drawing
from app.drawing.find import draw
from app.experiment import model_choices, read_model
from app.failures import status
from app.figure_files import answer
from app.pages.explore import _views
from app.pages.explore._leaving import of_edit
from app.pages.explore._painting import Painter, in_words, paint_trouble
from app.pages.explore._pairing import MOMENTS, begun, fact_of, proposed, taken
from app.pages.explore._subject import NAMES, Asker, Subject, read_subject
from app.templating import render
from worker.contract.errors import UserError
from worker.contract.known import BUNDLED_MODEL
from worker.contract.menu import Announcement
from worker.contract.visitors import refuse_model
from worker.engine.client import Engine, Superseded

NAV = ("Explore", "/explore")
router = APIRouter(prefix="/explore")
TAB = "x-tab"
"""The header in which the page's script names its tab."""
FACTS = 200
"""Facts of a set that can be chosen from a list; others are found by their words."""


@router.get("")
def show(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """The page of the subject that the address holds, or one to begin with."""
    asked = request.query_params
    if "prompt" not in asked:
        subject = begun(_asker(request, engine), asked.get("model", "") or _first(engine))
        if subject is not None:
            return RedirectResponse(f"/explore?{subject.query()}", status_code=303)
    return _draw(request, engine, menu, [])


@router.get("/take")
def take(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """The prompt of a fact, with the corrupted prompt that is proposed for it."""
    asked = request.query_params
    set_name = asked.get("set", "")
    try:
        base = Subject(model=asked.get("model") or "demo", beside=asked.get("beside", ""))
        subject = taken(base, fact_of(engine.store, set_name, asked.get("fact", "")))
    except UserError as error:
        return _draw(request, engine, menu, error.problems, status(error))
    with suppress(UserError):  # the prompt is there, and its page says what is missing
        subject = proposed(_asker(request, engine), subject, set_name)
    return _go(subject, set_name)


@router.get("/propose")
def propose(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """The prompt as it is typed, with another fact's subject in a corrupted one."""
    asked = request.query_params
    set_name = asked.get("set", "")
    try:
        subject = replace(read_subject(asked), distractor="", distractor_ids="")
        subject = proposed(_asker(request, engine), subject, set_name)
    except UserError as error:
        return _draw(request, engine, menu, error.problems, status(error))
    return _go(subject, set_name)


@router.get("/swap")
def swap(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """Clean and corrupted exchanged."""
    try:
        subject = read_subject(request.query_params)
        if not subject.corrupted:
            raise UserError("There is no corrupted prompt to swap with.", field="corrupted")
    except UserError as error:
        return _draw(request, engine, menu, error.problems, status(error))
    return _go(subject.swapped(), request.query_params.get("set", ""))


@router.get("/facts")
def facts(request: Request, engine: EngineDep) -> Response:
    """The list of a set's facts, as a part of the form."""
    known = _facts(engine, request.query_params.get("set", ""))
    return render(request, "fragments/explore/facts.html", facts=known["facts"])


@router.get("/views/{view}")
def view(request: Request, view: str, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """One view of the subject, as a part of the page; what cannot be shown is said in its place."""
    try:
        painter = _painter(request, view, engine, menu)
        asker = _asker(request, engine, view)
        return painter.paint(painter.view.make(asker, painter.subject, painter.asked))
    except Superseded:
        return Response(status_code=204)
    except UserError as error:
        return paint_trouble(request, view, error)


@router.get("/rows/{view}")
def rows(request: Request, view: str, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """A view as it is computed: in each line the view so far, or why it waits."""
    try:
        painter = _painter(request, view, engine, menu)
    except UserError as error:
        return paint_trouble(request, view, error)
    lines = in_words(request, view, painter.lines(_asker(request, engine, view)))
    unbuffered = {"X-Accel-Buffering": "no"}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=unbuffered)


@router.get("/answers/{view}.json")
def answers(request: Request, view: str, engine: EngineDep) -> Response:
    """A view's answer with its arrays and the question, as a file."""
    asked = dict(request.query_params)
    found = _views.answer_of(view, _asker(request, engine), read_subject(asked), asked)
    text = found.model_dump_json(indent=1)
    headers = attachment(f"explore-{view}.json")
    return Response(text, media_type="application/json", headers=headers)


@router.get("/of/{run_id}")
def of_run(request: Request, run_id: str, engine: EngineDep) -> Response:
    """A base beside an edit of it, on the first fact that the edit was to forget."""
    subject, set_name, fact = of_edit(engine.store, run_id)
    subject = taken(subject, fact)
    with suppress(UserError):  # the prompt is there, and its page says what is missing
        subject = proposed(replace(_asker(request, engine), patience=MOMENTS), subject, set_name)
    return _go(subject, set_name)


@router.get("/figures/{view}.{ending}")
def figure(request: Request, view: str, ending: str, engine: EngineDep) -> Response:
    """A view's figure: what plotly draws, its table, or its CSV."""
    asked = dict(request.query_params)

    def drawn() -> Drawing:
        subject = read_subject(asked)
        name, source = _views.source_of(view, _asker(request, engine), subject, asked)
        return draw(name, source, asked)

    return answer(request, ending, view, drawn)


def _asker(request: Request, engine: Engine, view: str = "") -> Asker:
    """Who asks for a view: one tab of one session, as far as the page's script says it."""
    tab = request.headers.get(TAB, "")[:40]
    session: Session | None = request.state.session
    reader = f"{session.nonce if session else ''}:{tab}:{view}" if tab else ""
    return Asker(engine, request.app.state.answers, reader[:200])


def _first(engine: Engine) -> str:
    """The model to begin with: the bundled one, or the first that visitors may ask."""
    visit = engine.store.acting.visit
    return visit.models[0] if visit and BUNDLED_MODEL not in visit.models else BUNDLED_MODEL


def _refuse_closed(engine: Engine, subject: Subject) -> None:
    """Raise Forbidden for a model that is not held open to a visitor."""
    if (visit := engine.store.acting.visit) is not None:
        for named in filter(None, (subject.model, subject.beside)):
            model = read_model(named, engine.store)
            refuse_model(visit, model if isinstance(model, str) else model["base"])


def _painter(request: Request, view: str, engine: Engine, menu: Announcement) -> Painter:
    subject = read_subject(request.query_params)
    return Painter(request, _views.find(view), subject, _titles(engine, menu, subject))


def _titles(engine: Engine, menu: Announcement, subject: Subject) -> list[str]:
    names = dict(model_choices(engine.store, menu))
    shown = (subject.model, subject.beside) if subject.beside else (subject.model,)
    return [names.get(one, one) for one in shown]


def _go(subject: Subject, set_name: str) -> Response:
    return RedirectResponse(f"/explore?{subject.query(set=set_name)}", status_code=303)


def _draw(
    request: Request,
    engine: Engine,
    menu: Announcement,
    problems: list[tuple[str, str]],
    code: int = 200,
) -> Response:
    asked = dict(request.query_params)
    try:
        subject = read_subject(asked)
        _refuse_closed(engine, subject)
        shown = _views.VIEWS if not problems else ()
    except UserError as error:
        given = {name: asked.get(name, "") for name in NAMES} | {
            "model": asked.get("model", "demo")
        }
        subject, shown = Subject(**given), ()
        if not problems:
            problems, code = list(error.problems), status(error)
    return render(
        request,
        "pages/explore.html",
        status_code=code,
        subject=subject,
        views=shown,
        problems=problems,
        errors=dict(problems),
        models=model_choices(engine.store, menu),
        **_facts(engine, asked.get("set", "")),
    )


def _facts(engine: Engine, set_name: str) -> dict[str, Any]:
    sets = engine.store.fact_sets()
    chosen = next((one for one in sets if one.name == set_name), sets[0] if sets else None)
    facts = engine.store.bare_fact_set(chosen.name, FACTS).facts if chosen else ()
    return {
        "sets": [(one.name, f"{one.title or one.name} ({one.n_facts})") for one in sets],
        "chosen": chosen,
        "facts": [(fact.id, f"{fact.subject} → {fact.target}") for fact in facts],
    }

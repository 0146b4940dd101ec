"""Lessons: read, predict, look at the experiment, compare; resumed where one left off."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app import csv_text
from app.backend import EngineDep, StoreDep
from app.experiment import model_choices
from app.failures import status
from app.lessons import progress
from app.lessons.library import Library, library
from app.pages.lessons import _progress
from app.pages.lessons._about import About, about
from app.pages.lessons._bench import Bench, NotForVisitors, NotMade, What
from app.pages.lessons._keeping import InBrowser, InStore, Keeping
from app.pages.lessons._page import Screen
from app.pages.lessons._picture import csv_rows
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.base import unknown
from worker.contract.errors import NotFound, UserError
from worker.engine.announced import offered
from worker.engine.client import Engine, NoWorker
from worker.lessons.schema import Figure, Lesson, Step
from worker.store.store import Store

NAV = ("Lessons", "/lessons")
NAME_LIMIT = 100
router = APIRouter(prefix="/lessons")


@router.get("")
def index(request: Request, store: StoreDep) -> Response:
    """Every lesson, and how far this reader is in it."""
    found = _library(request)
    reader = reader_of(request)
    answers = _keeping(request, store).answers()
    rows = [
        (lesson, sum(progress.done(lesson, answers)), progress.place(lesson, answers))
        for lesson in found.lessons
    ]
    return render(
        request,
        "pages/lessons.html",
        rows=rows,
        problems=found.problems,
        name=store.lesson_readers().get(reader, "") if reader else "",
        has_answers=bool(answers),
    )


@router.post("/name")
async def give_name(request: Request, store: StoreDep) -> Response:
    """Keep the name under which a reader is in the class's list."""
    name = str((await request.form()).get("name", "")).strip()
    refuse_odd_text({"name": name})
    if len(name) > NAME_LIMIT:
        raise UserError(
            f"The name has {len(name)} characters; expected at most {NAME_LIMIT}.", field="name"
        )
    await run_in_threadpool(store.name_reader, reader_of(request), name)
    return RedirectResponse("/lessons", status_code=303)


@router.get("/progress.csv")
def progress_csv(request: Request, store: StoreDep) -> Response:
    """This reader's own answers."""
    answers = store.lesson_answers(reader_of(request))
    rows = _progress.table(answers, store.lesson_readers(), _library(request).lessons)
    return csv_text.respond(rows, "lessons.csv")


@router.get("/class.csv")
def class_csv(request: Request, store: StoreDep) -> Response:
    """The answers of a class, for its teacher: of who teaches none, one's own.

    With a single user every browser's, as an admin of a shared server has everybody's.
    """
    guests, role = store.taught(), request.state.session.identity.role
    if role in (None, "admin"):
        answers = store.class_answers()
    else:
        answers = store.answers_of([reader_of(request), *(guest.person for guest in guests)])
    names = {**store.lesson_readers(), **{guest.person: guest.name for guest in guests}}
    rows = _progress.table(answers, names, _library(request).lessons)
    return csv_text.respond(rows, "class.csv")


@router.get("/{name}")
def resume(request: Request, name: str, store: StoreDep) -> Response:
    """Go to the first step that is not done."""
    lesson = _library(request).find(name)
    at = progress.place(lesson, _keeping(request, store).answers(name))
    query = about(lesson, request.query_params).query()
    return RedirectResponse(f"/lessons/{name}/{at}{query}", status_code=303)


@router.get("/{name}/notes")
def notes(request: Request, name: str) -> Response:
    """What is for the teacher: the notes of every step."""
    lesson = _library(request).find(name)
    return render(request, "pages/lesson_notes.html", lesson=lesson, notes=Screen.notes(lesson))


@router.get("/{name}/{number}")
def show(request: Request, name: str, number: str, engine: EngineDep) -> Response:
    """One step. With `now=1` all of it is computed before it is sent."""
    lesson, at, step = _step(request, name, number)
    try:
        told = about(lesson, request.query_params)
    except UserError as error:
        own = about(lesson, {})
        return _draw(request, _screen(request, engine, lesson, at, own), error)
    screen = _screen(request, engine, lesson, at, told)
    if step.question is None and not screen.waits_for_own:
        screen.keeping.keep(name, at, told, None, False, False)
    return screen.keeping.put(_draw(request, screen))


@router.post("/{name}/{number}")
async def answer(request: Request, name: str, number: str, engine: EngineDep) -> Response:
    """Judge an answer by the experiment, keep it, and show what is below the question."""
    lesson, at, _ = _step(request, name, number)
    form = await request.form()
    given, is_shown = str(form.get("answer", "")), bool(form.get("show"))
    refuse_odd_text({"answer": given})
    told = about(lesson, request.query_params)
    screen = _screen(request, engine, lesson, at, told)
    try:
        await run_in_threadpool(screen.take, given, is_shown)
    except UserError as error:
        return await run_in_threadpool(_draw, request, screen, error)
    answered = RedirectResponse(f"{screen.address}{told.query()}#told", status_code=303)
    return screen.keeping.put(answered)


@router.post("/{name}/{number}/make")
async def make(request: Request, name: str, number: str, engine: EngineDep) -> Response:
    """Queue the lesson's edits, or its runs, unless somebody did so before."""
    lesson, at, _ = _step(request, name, number)
    screen = _screen(request, engine, lesson, at, about(lesson, request.query_params))
    try:
        await run_in_threadpool(screen.bench.make, _what(request))
    except UserError as error:
        return await run_in_threadpool(_draw, request, screen, error)
    query = screen.about.query()
    return RedirectResponse(f"{screen.address}{query}#making", status_code=303)


@router.get("/{name}/{number}/made")
def made(request: Request, name: str, number: str, engine: EngineDep) -> Response:
    """How far the lesson's edits, or its runs, are, as a part of the page."""
    lesson, at, _ = _step(request, name, number)
    screen = _screen(request, engine, lesson, at, about(lesson, request.query_params))
    return _part(request, "making", lambda: {"making": screen.making(_what(request))})


@router.get("/{name}/{number}/rest")
def rest(request: Request, name: str, number: str, engine: EngineDep) -> Response:
    """What is below a step's question, once it is answered."""
    lesson, at, _ = _step(request, name, number)
    screen = _screen(request, engine, lesson, at, about(lesson, request.query_params))
    return _part(request, "rest", screen.rest, screen=screen)


@router.get("/{name}/{number}/figures/{figure}.csv")
def figure_csv(
    request: Request, name: str, number: str, figure: str, engine: EngineDep
) -> Response:
    """One figure's numbers."""
    lesson, _, step = _step(request, name, number)
    found = _figure(step, figure)
    bench = _bench(request, engine, lesson, about(lesson, request.query_params))
    return csv_text.respond(list(csv_rows(found, bench.run(found.of))), f"{name}-{figure}.csv")


@router.get("/{name}/{number}/figures/{figure}")
def figure_part(
    request: Request, name: str, number: str, figure: str, engine: EngineDep
) -> Response:
    """One figure, as a part of its step's page."""
    lesson, at, step = _step(request, name, number)
    found = _figure(step, figure)
    screen = _screen(request, engine, lesson, at, about(lesson, request.query_params))
    return _part(request, "figure", lambda: {"picture": screen.picture(found)})


def reader_of(request: Request) -> str:
    """Under which name answers are kept: the account, or this browser's session."""
    session = request.state.session
    return (session.identity.user or session.nonce) if session else ""


def _keeping(request: Request, store: Store) -> Keeping:
    """Where this reader's answers are kept: nothing of a visitor's is in the store."""
    reader = reader_of(request)
    return InStore(store, reader) if reader else InBrowser(request)


def _library(request: Request) -> Library:
    return library(request.app.state.settings.lessons)


def _what(request: Request) -> What:
    return "runs" if request.query_params.get("what") == "runs" else "edits"


def _step(request: Request, name: str, number: str) -> tuple[Lesson, int, Step]:
    lesson = _library(request).find(name)
    at = int(number) if number.isdecimal() and len(number) < 5 else 0
    if not 1 <= at <= len(lesson.steps):
        raise NotFound(
            f"The lesson {lesson.front.title!r} has no step {number[:20]!r}; expected one from 1 "
            f"to {len(lesson.steps)}."
        )
    return lesson, at, lesson.steps[at - 1]


def _figure(step: Step, name: str) -> Figure:
    if name not in step.figures:
        raise NotFound(unknown("figure of this step", name, sorted(step.figures)).message)
    return step.figures[name]


def _bench(request: Request, engine: Engine, lesson: Lesson, told: About) -> Bench:
    return Bench(engine, request.app.state.answers, lesson, told)


def _screen(request: Request, engine: Engine, lesson: Lesson, at: int, told: About) -> Screen:
    keeping = _keeping(request, engine.store)
    mine = tuple(keeping.answers(lesson.name, told))
    is_whole = bool(request.query_params.get("now"))
    return Screen(_bench(request, engine, lesson, told), at, keeping, mine, is_whole)


def _draw(request: Request, screen: Screen, error: UserError | None = None) -> Response:
    return render(
        request,
        "pages/lesson_step.html",
        status_code=status(error) if error else 200,
        problems=error.problems if error else (),
        screen=screen,
        models=_models(screen),
        **screen.context(),
    )


def _models(screen: Screen) -> list[tuple[str, str]]:
    store = screen.bench.engine.store
    menu = offered(store)
    found = model_choices(store, menu) if menu else []
    model = screen.about.model
    return found if model in dict(found) else [(model, model), *found]


def _part(request: Request, name: str, make: Any, **more: Any) -> Response:
    """A fragment, or in its place why there is none; it asks again by itself for a worker."""
    try:
        return render(request, f"fragments/lessons/{name}.html", **make(), **more)
    except UserError as error:
        sentences = [sentence for _, sentence in error.problems]
        return render(
            request,
            "fragments/lessons/trouble.html",
            status_code=status(error),
            problems=sentences,
            is_waiting=isinstance(error, NoWorker | NotMade)
            and not isinstance(error, NotForVisitors),
            again=f"{request.url.path}?{request.url.query}",
        )

"""Stacks: order a model's edits, branch off, take some out, see what each did to the others."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.backend import AnnouncementDep, EngineDep
from app.drawing.drawing import Offer
from app.figure_frames import figure_of
from app.pages.edits._stack import (
    Stack,
    combination_of,
    edits_of,
    evaluation_of,
    measured,
    read_stack,
)
from app.submission import key_of_form, submit
from app.templating import render, wants_fragment
from worker.contract.errors import UserError
from worker.contract.menu import Announcement
from worker.engine.client import Engine
from worker.store.store import Store

NAV = ("Stacks", "/stacks")
router = APIRouter(prefix="/stacks")
Problems = list[tuple[str, str]]


@router.get("")
def show(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """A model's edits, and the stack that the address describes."""
    return _draw(request, engine, menu, request.query_params, [])


@router.post("/evaluate")
async def evaluate(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """Measure the interference of a stack; one in a new order is put together as one edit."""
    given = await request.form()
    return await run_in_threadpool(_start, request, engine, menu, given, True)


@router.post("/combine")
async def combine(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """Put a stack together as one edit on the base."""
    given = await request.form()
    return await run_in_threadpool(_start, request, engine, menu, given, False)


def _start(
    request: Request, engine: Engine, menu: Announcement, given: FormData, as_it_is: bool
) -> Response:
    try:
        stack = read_stack(engine.store, _asked(given))
        if not stack.edits:
            raise UserError("No edit is chosen; expected at least one.", field="edit")
        if as_it_is and stack.is_as_made:
            spec, title = evaluation_of(stack), ""
        else:
            spec = combination_of(stack, engine.store)
            title = f"Stack of {len(stack.edits)} edits"
        run_id = submit(engine, spec, title=title, key=key_of_form(given, spec))
    except UserError as error:
        return _draw(request, engine, menu, given, error.problems, 422)
    if wants_fragment(request):
        return Response(headers={"HX-Redirect": f"/runs/{run_id}"})
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


def _asked(given: FormData | QueryParams) -> list[tuple[str, str]]:
    """Ids of the ticked edits with the places typed beside them."""
    ids = [value for value in given.getlist("edit") if isinstance(value, str)]
    return [(one, str(given.get(f"place.{one}") or "").strip()) for one in dict.fromkeys(ids)]


def _draw(
    request: Request,
    engine: Engine,
    menu: Announcement,
    given: FormData | QueryParams,
    problems: Problems,
    code: int = 200,
) -> Response:
    store, stack = engine.store, Stack(())
    models = [(m.id, m.title or m.id) for m in menu.models]
    try:
        stack = read_stack(store, _asked(given))
    except UserError as error:
        problems = problems or error.problems
        code = 422
    model = str(given.get("model") or (stack.edits[0].base if stack.edits else models[0][0]))
    known: dict[str, Any] = _about(store, stack) if stack.edits else {}
    return render(
        request,
        "pages/stacks.html",
        status_code=code,
        models=models,
        model=model,
        edits=edits_of(store, model, stack.edits),
        stack=stack,
        places={edit.run.id: i + 1 for i, edit in enumerate(stack.edits)},
        problems=[sentence for _, sentence in problems],
        **known,
    )


def _about(store: Store, stack: Stack) -> dict[str, Any]:
    found = measured(store, stack)
    figures = []
    for run, start in found[:1]:
        result = store.result(run.id)
        for what, title in (
            ("edit_target", "What each edit did to the edit target of each edit's facts"),
            ("target", "What each edit did to the target of each edit's facts"),
        ):
            name = f"{start}.{what}"
            if result and name in result.arrays:
                figures.append(figure_of(run, Offer("matrices", title, fixed=(("of", name),))))
    return {
        "matrix_of": found[0][0] if found else None,
        "matrix_result": store.result(found[0][0].id) if found else None,
        "figures": figures,
        "without": {edit.run.id: _address(stack, edit.run.id) for edit in stack.edits},
        "swapped": {edit.run.id: _address(stack, "", i) for i, edit in enumerate(stack.edits) if i},
    }


def _address(stack: Stack, leave_out: str, swap: int = 0) -> str:
    """The address of the stack without one edit, or with two neighbours exchanged."""
    ids = [one for one in stack.ids if one != leave_out]
    if swap:
        ids[swap - 1], ids[swap] = ids[swap], ids[swap - 1]
    parts = [("model", stack.edits[0].base)]
    for place, one in enumerate(ids, 1):
        parts += [("edit", one), (f"place.{one}", str(place))]
    return f"/stacks?{urlencode(parts)}"

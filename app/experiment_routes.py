"""The three requests of every experiment's form: draw it anew, look ahead, and start the run."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.backend import AnnouncementDep, EngineDep
from app.experiment import Typed, flat, from_run, typed
from app.forms import Problems
from app.projects import within
from app.submission import check, key_of_form, submit
from app.templating import render, wants_fragment
from worker.contract.errors import UserError
from worker.contract.menu import Announcement, Preflight
from worker.contract.spec import RunKind
from worker.engine.client import Engine, WorkerBusy

LONGEST_ADDRESS = 4000
"""Characters of an address that names a form's fields; browsers and proxies take no longer ones."""
ReadSpec = Callable[[Typed, Engine, Announcement], tuple[dict[str, Any], Problems]]
"""From a form to a spec, with what was refused."""
Context = Callable[[Typed, Engine, Announcement], dict[str, Any]]
"""What the form's template shows."""


def experiment_routes(
    kind: RunKind, path: str, template: str, read: ReadSpec, context: Context
) -> APIRouter:
    """Make a page's routes: GET and POST `path`, POST `path`/form and `path`/preflight.

    `template` fills `main` with a block `experiment`, the form.
    """
    router = APIRouter()

    def drawn(
        request: Request, form: Typed, engine: Engine, menu: Announcement, code: int = 200
    ) -> Response:
        known = context(form, engine, menu)
        return render(
            request, template, block="experiment", status_code=code, again=f"{path}/form", **known
        )

    @router.get(path)
    async def show(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
        """The form, as the address fills it; `from=RUN` takes over a run's settings."""
        form = await typed(request)
        if run_id := form.get("from"):
            earlier = from_run(await run_in_threadpool(engine.store.run, run_id), kind)
            form = replace(earlier, values={**earlier.values, **form.values})
        return await run_in_threadpool(drawn, request, form, engine, menu)

    @router.post(f"{path}/form")
    async def again(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
        """The form after a choice that changes what it shows."""
        form = await typed(request)
        answer = await run_in_threadpool(drawn, request, form, engine, menu)
        answer.headers["HX-Replace-Url"] = address(path, form)
        return answer

    @router.post(f"{path}/preflight")
    async def preflight(
        request: Request, engine: EngineDep, menu: AnnouncementDep, asked: bool = False
    ) -> Response:
        """What is known before the run starts: at once what needs no model, then what it says.

        While the model cannot be `asked`, what needs none of it stays.
        """
        form = await typed(request)
        found: Preflight | None = None
        problems: Problems = []
        try:
            spec, problems = await run_in_threadpool(read, form, engine, menu)
            if not problems:
                found = await run_in_threadpool(_look, engine, spec, asked)
        except UserError as error:
            problems = error.problems
        ahead = await run_in_threadpool(lambda: engine.store.count_runs(state="queued"))
        return render(
            request,
            "fragments/preflight.html",
            preflight=found,
            problems=problems,
            ahead=ahead,
            # What belongs to no field is the worker's: it starts, or is busy. It is asked again.
            again=f"{path}/preflight" if all(not field for field, _ in problems) else "",
            delay=3 if asked or not found else 0,
        )

    @router.post(path)
    async def start(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
        """Check and queue the run; what is refused is said beside its field."""
        form = await typed(request)
        try:
            run_id = await run_in_threadpool(_start, form, read, engine, menu)
        except UserError as error:
            form.problems = error.problems
            return await run_in_threadpool(drawn, request, form, engine, menu, 422)
        if wants_fragment(request):
            return Response(headers={"HX-Redirect": f"/runs/{run_id}"})
        return RedirectResponse(f"/runs/{run_id}", status_code=303)

    return router


def _look(engine: Engine, spec: dict[str, Any], asked: bool) -> Preflight | None:
    """Look ahead, with the model where it is to be asked and can be."""
    if asked:
        with suppress(WorkerBusy):
            return check(engine, spec)[1]
    return check(engine, spec, brief=True)[1]


def address(path: str, form: Typed) -> str:
    """An address that opens the same form, as far as one can be kept and sent: no pasted lists."""
    fields = flat(form)
    while len(found := f"{path}?{urlencode(fields)}") > LONGEST_ADDRESS:
        fields.remove(max(fields, key=lambda field: len(urlencode([field]))))
    return found


def _start(form: Typed, read: ReadSpec, engine: Engine, menu: Announcement) -> str:
    spec, problems = read(form, engine, menu)
    if problems:
        raise UserError(problems=problems)
    key = key_of_form(form, spec)
    return submit(within(engine, form.values), spec, title=form.get("title"), key=key)

"""A class's join link: who has it chooses a name, and is in the class as a guest."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.access import audit
from app.access.passwords import let_in
from app.backend import StoreDep
from app.failures import status
from app.submission import refuse_odd_text
from app.templating import person_of, render
from worker.contract.classes import LONGEST_NAME, Class
from worker.contract.errors import Conflict, NotFound, UserError

SHARED = True
LASTS = 365 * 24 * 3600
"""Seconds of a guest's session, which the class's end ends before."""
router = APIRouter(prefix="/join/{secret}")


@router.get("")
def show(request: Request, secret: str, store: StoreDep) -> Response:
    """Ask for a name; a link that does not hold is not there."""
    return _form(request, store.class_of_link(secret))


@router.post("")
async def join(request: Request, secret: str, store: StoreDep) -> Response:
    """Take a seat and be signed in, or say what is wrong beside the name."""
    form = await request.form()
    name = str(form.get("name", ""))
    try:
        refuse_odd_text([name])
        _refuse_signed_in(request)
        person = await run_in_threadpool(store.join, secret, name)
    except NotFound:
        raise
    except UserError as error:
        found = await run_in_threadpool(store.class_of_link, secret)
        return _form(request, found, status(error), name, error.message)
    audit.tell(request, f"{' '.join(name.split())} as {person.name}", person.name)
    response = RedirectResponse("/classes", status_code=303)
    return await run_in_threadpool(let_in, request, response, store, person, LASTS)


def _refuse_signed_in(request: Request) -> None:
    """Keep somebody's own session: a browser has one."""
    if (me := person_of(request)) is not None:
        raise Conflict(
            f"This browser is signed in as {me.user!r}; expected one in which nobody is. Sign out "
            f"first, or join from a private window."
        )


def _form(
    request: Request, found: Class, code: int = 200, name: str = "", error: str = ""
) -> Response:
    return render(
        request,
        "pages/join.html",
        status_code=code,
        found=found,
        name=name,
        error=error,
        longest=LONGEST_NAME,
    )

"""An invitation: who has its link chooses a name and a password, and is signed in."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.access import audit
from app.access.passwords import let_in
from app.access.provider import Provider
from app.backend import StoreDep
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.errors import NotFound, UserError
from worker.contract.people import SHORTEST, Invitation

SHARED = True
router = APIRouter(prefix="/invitation/{secret}")


@router.get("")
def show(request: Request, secret: str, store: StoreDep) -> Response:
    """Ask for a name and a password; an invitation that does not hold is not there."""
    return _form(request, store.invitation(secret))


@router.post("")
async def accept(request: Request, secret: str, store: StoreDep) -> Response:
    """Make the account and sign in, or say what is wrong beside its field."""
    form = await request.form()
    name, password = str(form.get("name", "")), str(form.get("password", ""))
    try:
        refuse_odd_text([name, password])
        if password != str(form.get("again", "")):
            raise UserError("The two passwords differ; type the same twice.", field="again")
        person = await run_in_threadpool(store.accept, secret, name, password)
    except NotFound:
        raise
    except UserError as error:
        found = await run_in_threadpool(store.invitation, secret)
        return _form(request, found, 422, name, dict(error.problems))
    audit.tell(request, f"{person.name} as {person.role}", person.name)
    response = RedirectResponse("/", status_code=303)
    return await run_in_threadpool(let_in, request, response, store, person)


def _form(
    request: Request,
    found: Invitation,
    code: int = 200,
    name: str = "",
    errors: dict[str, Any] | None = None,
) -> Response:
    provider: Provider | None = request.app.state.provider
    return render(
        request,
        "pages/invitation.html",
        status_code=code,
        invitation=found,
        secret=request.path_params["secret"],
        provider=provider.title if provider else "",
        name=name,
        errors=errors or {},
        shortest=SHORTEST,
    )

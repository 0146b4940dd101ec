"""Signing in by the provider of OpenID Connect, where one is configured."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from app.access import audit
from app.access.passwords import let_in
from app.access.provider import Arrived, Provider
from app.access.session import Session, Sessions
from app.backend import StoreDep
from app.pages.site.login import local, page
from worker.contract.errors import Forbidden, NotFound, Unavailable
from worker.contract.people import Person
from worker.store.identities import identity
from worker.store.store import Store

SHARED = True
router = APIRouter(prefix="/login/provider")


@router.get("")
async def begin(
    request: Request, next: str = "/", invitation: str = "", link: str = ""
) -> Response:
    """Go to the provider: to sign in, to accept an invitation, or to link one's own account.

    `link` is the form token of who is signed in, so that no other page can begin that.
    """
    aim = {"next": local(next), "invitation": invitation[:100], "link": ""}
    session: Session | None = request.state.session
    if link:
        sessions: Sessions = request.app.state.sessions
        if session is None or not sessions.is_form_of(session, link):
            raise Forbidden("This link is from an earlier session; open the account page again.")
        aim |= {"link": session.identity.user, "next": "/account"}
    try:
        return await _provider(request).begin(request, aim)
    except Unavailable as error:
        return page(request, 503, str(error), following=aim["next"])


@router.get("/back")
async def back(request: Request, store: StoreDep) -> Response:
    """Come back from the provider, signed in or refused in words."""
    provider = _provider(request)
    try:
        arrived = await provider.finish(request)
        person = await run_in_threadpool(_person, request, store, provider, arrived)
    except Unavailable as error:
        return page(request, 503, str(error))
    except Forbidden as error:
        return page(request, 403, error.message)
    response = RedirectResponse(arrived.aim["next"], status_code=303)
    provider.forget(request, response)
    if arrived.aim["link"]:
        return response
    return await run_in_threadpool(let_in, request, response, store, person)


def _person(request: Request, store: Store, provider: Provider, arrived: Arrived) -> Person:
    """The account of who came back, made or linked where that is allowed; else Forbidden."""
    kept, aim = identity(arrived.issuer, arrived.subject), arrived.aim
    if aim["link"]:
        session: Session | None = request.state.session
        if session is None or session.identity.user != aim["link"]:
            raise Forbidden("Another person is signed in here now; nothing was linked.")
        store.link(aim["link"], kept)
        audit.tell(request, f"linked {aim['link']} with {provider.title}", aim["link"])
        return store.person(aim["link"])
    person, made = store.person_of_identity(kept), ""
    if person is None and aim["invitation"]:
        person = store.accept_by_identity(aim["invitation"], arrived.wish, kept)
        made = f" as {person.role}, invited"
    elif person is None and provider.admits(arrived):
        person = store.add_by_identity(arrived.wish, kept, "viewer")
        made = f" as {person.role}, new"
    elif person is None:
        raise Forbidden(
            f"{provider.title} knows you, and there is no account of yours here. Ask an admin of "
            f"this server for an invitation; who has a password here links the two on Account."
        )
    if person.disabled:
        raise Forbidden("Your account on this server is shut. Ask an admin of it.")
    audit.tell(request, f"{person.name}{made}", person.name)
    return person


@router.get("/leave")
async def leave(request: Request) -> Response:
    """Sign out of the provider too, after the session here has ended."""
    try:
        away = await _provider(request).way_out(request)
    except Unavailable as error:
        return page(request, 503, str(error))
    if away is None:
        return page(request, 404, "The provider has no place to sign out at.")
    return RedirectResponse(away, status_code=303)


def _provider(request: Request) -> Provider:
    found: Provider | None = request.app.state.provider
    if found is None:
        raise NotFound("This server has no provider to sign in by (LETHE_OIDC_ISSUER).")
    return found

"""Puts the web server together: pages and API discovered, static files mounted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware

from app import bundles, discovery, failures, measuring, openapi, telemetry, uploads
from app.access import csrf, provider
from app.access.body import BodyLimit
from app.access.guard import Guard
from app.access.house import OpenHouse
from app.access.passwords import Passwords
from app.access.refusal import PROBES
from app.access.session import Sessions
from app.access.shared import SharedGuard
from app.access.visits import Visits
from app.compressed import LEVEL, NOT_PAGES, SMALLEST, Static
from app.exploring import Answers
from app.forwarded import Forwarded
from app.opening import Opening
from app.prefix import Prefix, refuse_taken
from app.shipped import have_ready, shipped_ids
from app.telling import Telling
from app.templating import STATIC
from worker.contract.settings import Settings
from worker.contract.settings import settings as from_environment
from worker.engine.client import Engine

LARGER = dict.fromkeys(("/api/facts", "/facts/upload"), uploads.BODY_LIMIT)
LARGER |= dict.fromkeys(("/api/bundles", "/bundles"), bundles.BODY_LIMIT)
LARGER |= dict.fromkeys(("/api/texts", "/facts/texts"), uploads.TEXT_BODY_LIMIT)
LARGER |= {"/facts/paste": uploads.PASTE_BODY_LIMIT}
"""Paths that may carry a file, with their limits in bytes."""


def create_app(settings: Settings | None = None, engine: Engine | None = None) -> FastAPI:
    """Make the application; an engine is opened at start when none is given.

    Plugins are those that the environment names.
    """
    settings = settings or from_environment()
    pages = discovery.pages(is_shared=settings.shared)
    resources = discovery.resources(is_shared=settings.shared)
    discovery.refuse_twice((*pages, *resources))
    app = FastAPI(
        title="Lethe",
        summary="Where a language model keeps a fact, and whether it is gone.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.sessions = Sessions(settings)
    app.state.passwords = Passwords()
    app.state.provider = provider.of(settings)
    app.state.nav = discovery.nav(pages)
    visits = Visits(settings)
    app.state.opening = Opening(settings, engine, have_ready if settings.open else None)
    app.state.answers = Answers(visits=visits)
    app.add_middleware(Telling)
    app.add_middleware(BodyLimit, larger=LARGER)
    guarded: dict[str, Any] = {"settings": settings, "sessions": app.state.sessions}
    guarded["in_trouble"] = failures.in_trouble
    if settings.shared:
        house = OpenHouse(settings, visits, shipped_ids()) if settings.open else None
        app.add_middleware(SharedGuard, refused=failures.user_error, house=house, **guarded)
    else:
        app.add_middleware(Guard, **guarded)
    app.add_middleware(
        GZipMiddleware,
        minimum_size=SMALLEST,
        compresslevel=LEVEL,
        exclude_content_types=NOT_PAGES,
    )
    registry = CollectorRegistry()
    app.state.sending = telemetry.sending(registry)
    app.add_middleware(
        measuring.Measuring,
        settings=settings,
        opening=app.state.opening,
        registry=registry,
        is_sent=app.state.sending is not None,
    )
    if settings.root_path:
        app.add_middleware(Prefix, root=settings.root_path, alone=(*PROBES, measuring.PATH))
    if settings.proxies:
        app.add_middleware(Forwarded, proxies=settings.proxies)
    failures.install(app)
    for page in pages:
        app.include_router(
            discovery.router(page), dependencies=[Depends(csrf.check)], include_in_schema=False
        )
    for resource in resources:
        app.include_router(discovery.router(resource), dependencies=[Depends(csrf.check)])
    openapi.install(app)
    app.mount("/static", Static(directory=STATIC), name="static")
    if settings.root_path:
        refuse_taken(settings.root_path, (route.path for route in discovery.routes(app)))
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    opening: Opening = app.state.opening
    sending: telemetry.Sending | None = app.state.sending
    await run_in_threadpool(opening.start)
    if sending is not None:
        sending.start()
    try:
        yield
    finally:
        if sending is not None:
            await run_in_threadpool(sending.close)
        await run_in_threadpool(opening.close)

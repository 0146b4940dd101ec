"""The interactive lane: a small HTTP server that answers questions past the queue.

It listens at the address that faces the database unless LETHE_WORKER_HOST names another, and
answers only who knows the token that the workers' table holds.
"""

import asyncio
import json
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from worker.contract.errors import NotFound, UserError
from worker.engine.asked import LATE, LEFT, NEWER, Asked, Over, Readers
from worker.engine.facing import Place, address_of, listen
from worker.engine.slot import Died, Slot
from worker.engine.turns import Turns
from worker.engine.understanding import understand
from worker.engine.wire import Answered, Failed
from worker.store.store import Store
from worker.store.trouble import trouble

log = logging.getLogger(__name__)
LINES = "application/x-ndjson"
LONGEST_BODY = 20_000_000
Reply = tuple[int, dict[str, Any]]
"""A status of HTTP's, and what is said with it."""


class Lane:
    """Answers questions with one slot's process, one after another, in turns of those who ask."""

    def __init__(
        self,
        store: Store,
        slot: Slot,
        where: Place,
        longest: float,
        runs: Slot | None = None,
    ) -> None:
        """`runs` is the slot that computes runs, where that is another than the lane's."""
        self._store, self._slot, self._longest = store, slot, longest
        self._runs = runs
        self.token = secrets.token_urlsafe(32)
        self._where = where
        self._thread: threading.Thread | None = None
        self._readers, self._turns = Readers(), Turns()
        self._answering: set[asyncio.Task[Reply]] = set()
        self._open()

    def _open(self) -> None:
        self._socket = listen(self._where.bind)
        self.address = address_of(self._where.told, self._socket.getsockname()[1])

    def keep_up(self) -> None:
        """Serve on a thread of its own; one that has ended is replaced."""
        if self._thread is not None and self._thread.is_alive():
            return
        if self._thread is not None:
            log.error("the lane ended by itself; it is opened again")
            self._open()
        routes = [
            Route("/ask", self._ask, methods=["POST"]),
            Route("/here", self._here, methods=["POST"]),
        ]
        configuration = uvicorn.Config(
            Starlette(routes=routes),
            log_level="warning",
            lifespan="off",
            access_log=False,
            log_config=None,
        )
        server = uvicorn.Server(configuration)
        self._thread = threading.Thread(
            target=server.run, args=([self._socket],), name="lane", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Give the address up."""
        self._socket.close()

    def end_stuck(self) -> None:
        """Kill the process when it has computed one question for `longest` seconds.

        Waiting behind others is not computing; those who wait are given to the next process.
        """
        if self._slot.computed_for() > self._longest:
            log.warning("a question took more than %g s; its process is replaced", self._longest)
            self._slot.kill()

    def _is_known(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return secrets.compare_digest(given.encode(), f"Bearer {self.token}".encode())

    async def _here(self, request: Request) -> Response:
        """Say to who knows the token that this is the worker."""
        return _json(200 if self._is_known(request) else 401, {})

    async def _ask(self, request: Request) -> Response:
        """Answer a question; where it asks to `follow`, with lines of what is told meanwhile."""
        if not self._is_known(request):
            return _json(401, {"message": "the token is wrong"})
        if int(request.headers.get("content-length", "0")) > LONGEST_BODY:
            return _json(413, {"message": f"more than {LONGEST_BODY} bytes"})
        body = json.loads(await request.body())
        if self._slot.announcement is None and body["question"]["ask"] != "read_facts":
            return _json(503, {"message": "The worker is starting; ask again in a few seconds."})
        reader = str(body["question"].get("reader", ""))
        asked = Asked(self._slot, float(body["timeout"]), self._turns, reader)
        # Of its own, so that it takes the question back in good order if the reader leaves.
        answering = asyncio.create_task(self._answer(request, asked, body["question"]))
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)
        if body.get("follow"):
            return StreamingResponse(_lines(asked, answering), media_type=LINES)
        return _json(*await asyncio.shield(answering))

    async def _answer(self, request: Request, asked: Asked, data: Any) -> Reply:
        """Wait for the answer without holding a thread, so that no question waits for one."""
        reader = str(data.get("reader", ""))
        watching = asyncio.create_task(asked.watch(request))
        self._readers.begin(reader, asked)
        try:
            kept = None if self._runs is None else self._runs.kept
            menu = self._slot.announcement
            return await _in_words(asked.answer(partial(understand, data, self._store, menu, kept)))
        finally:
            self._readers.end(reader, asked)
            watching.cancel()


async def _in_words(answering: Awaitable[Answered | Failed]) -> Reply:
    """Say how a question ended: a status and what is sent with it."""
    try:
        reply = await answering
    except UserError as error:
        return _refusal(error.problems, missing=isinstance(error, NotFound))
    except Over as over:
        return {LATE: 504, NEWER: 409, LEFT: 499}[over.why], {"message": over.why}
    except Died as died:
        return _refusal([("", f"{died} Ask again.")])
    except Exception as error:
        if words := trouble(error):
            return 503, {"message": words}
        log.exception("a question failed")
        return 500, {"message": repr(error)}
    if isinstance(reply, Answered):
        return 200, {"answer": reply.answer}
    return _failed(reply)


async def _lines(asked: Asked, answering: "asyncio.Task[Reply]") -> AsyncIterator[bytes]:
    """What is told while the question is computed, then its status with the answer."""
    async for events in asked.told():
        told = [event.model_dump(mode="json", exclude_defaults=True) for event in events]
        yield json.dumps({"events": told}).encode() + b"\n"
    status, data = await asyncio.shield(answering)
    yield json.dumps({"status": status, **data}).encode() + b"\n"


def _failed(reply: Failed) -> Reply:
    if reply.kind in ("user", "missing"):
        return _refusal(list(reply.problems), missing=reply.kind == "missing")
    if reply.kind == "disk":
        return _refusal([("", reply.message)])
    if reply.kind == "oom":
        return _refusal([("", "The device has too little memory for this question.")])
    log.error("a question failed:\n%s", "\n".join(reply.traceback))
    return 500, {"message": reply.message}


def _refusal(problems: list[tuple[str, str]], missing: bool = False) -> Reply:
    return 422, {"problems": problems, "missing": missing}


def _json(status: int, data: object) -> Response:
    return Response(json.dumps(data), status, media_type="application/json")

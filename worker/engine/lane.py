"""The interactive lane: a small HTTP server that answers questions past the queue.

It listens at the address that faces the database unless LETHE_WORKER_HOST names another, and
answers only who knows the token that the workers' table holds.
"""

import asyncio
import json
import logging
import re
import secrets
import threading

import uvicorn
from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.contract.errors import NotFound, UserError
from worker.contract.facts import Fact
from worker.contract.inputs import AskFactTokens, AskPreflight, AskReadFacts, Inputs, Question
from worker.engine.facing import Place, address_of, listen
from worker.engine.resolve import paces_of, resolve
from worker.engine.slot import Died, Slot
from worker.engine.wire import Answered, Failed
from worker.store.store import Store
from worker.store.trouble import trouble

log = logging.getLogger(__name__)
_QUESTION: TypeAdapter[Question] = TypeAdapter(Question)
_UPLOAD = re.compile(r"uploads(/[\w-]+){1,2}")
LONGEST_BODY = 20_000_000
OF_A_FACT = (
    "id", "subject", "prompt", "target", "edit_target", "group", "relation", "join",
)  # fmt: skip
"""What is asked of a fact before its run, without the prompts around it."""


class Lane:
    """Answers questions with one slot's process, one after another."""

    def __init__(self, store: Store, slot: Slot, where: Place, longest: float) -> None:
        self._store, self._slot, self._longest = store, slot, longest
        self.token = secrets.token_urlsafe(32)
        self._where = where
        self._thread: threading.Thread | None = None
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
            Starlette(routes=routes), log_level="warning", lifespan="off", access_log=False
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
        if not self._is_known(request):
            return _json(401, {"message": "the token is wrong"})
        if int(request.headers.get("content-length", "0")) > LONGEST_BODY:
            return _json(413, {"message": f"more than {LONGEST_BODY} bytes"})
        body = json.loads(await request.body())
        if self._slot.announcement is None and body["question"]["ask"] != "read_facts":
            return _json(503, {"message": "The worker is starting; ask again in a few seconds."})
        return await self._answer(body["question"], float(body["timeout"]))

    async def _answer(self, data: object, timeout: float) -> Response:
        """Wait for the answer without holding a thread, so that no question waits for one."""
        job = f"ask.{secrets.token_hex(6)}"
        try:
            question = await asyncio.to_thread(self._understand, data)
            answered = asyncio.wrap_future(await asyncio.to_thread(self._slot.ask, job, question))
            reply = await asyncio.wait_for(asyncio.shield(answered), timeout)
        except UserError as error:
            return _refusal(error.problems, missing=isinstance(error, NotFound))
        except TimeoutError:
            self._slot.drop(job)
            return _json(504, {"message": f"no answer within {timeout} s"})
        except Died as died:
            return _refusal([("", f"{died} Ask again.")])
        except Exception as error:
            if words := trouble(error):
                return _json(503, {"message": words})
            raise
        if isinstance(reply, Answered):
            return _json(200, {"answer": reply.answer})
        return _failed(reply)

    def _understand(self, data: object) -> Question:
        return self._localize(_QUESTION.validate_python(data))

    def _localize(self, question: Question) -> Question:
        """Resolve a question's spec here, so that its paths are this host's."""
        if isinstance(question, AskReadFacts):
            # Who knows the token may have uploads read, and no other of this worker's files.
            if not _UPLOAD.fullmatch(question.path):
                raise UserError(
                    f"{question.path[:80]!r} is no upload's name; expected one as uploads/ID/file.",
                    field="path",
                )
            path = str(self._store.artifacts.local(question.path))
            return question.model_copy(update={"path": path})
        assert self._slot.announcement is not None, "a starting worker refuses questions"
        if isinstance(question, AskFactTokens):
            # Of 22,000 CounterFact records the prompts around each fact are nine tenths: writing
            # and reading them would take as long as the cutting.
            fact_set = self._store.bare_fact_set(question.spec.facts.set, question.first)
            inputs = Inputs(out="", fact_set=fact_set)
        else:
            menu = self._slot.announcement
            inputs = resolve(question.spec, self._store, menu, "")
            paces = paces_of(question.spec, self._store, menu)
            inputs = inputs.model_copy(update={"paces": paces})
            if isinstance(question, AskPreflight) and question.brief:
                inputs = _bare(inputs)
        return question.model_copy(update={"inputs": inputs})


def _bare(inputs: Inputs) -> Inputs:
    """Leave out what is around facts, of which a brief look reads nothing: it is nine tenths."""
    if inputs.fact_set is None:
        return inputs
    facts = tuple(
        Fact.model_construct(**{name: getattr(fact, name) for name in OF_A_FACT})
        for fact in inputs.fact_set.facts
    )
    fact_set = inputs.fact_set.model_copy(update={"facts": facts})
    return inputs.model_copy(update={"fact_set": fact_set})


def _failed(reply: Failed) -> Response:
    if reply.kind in ("user", "missing"):
        return _refusal(list(reply.problems), missing=reply.kind == "missing")
    if reply.kind == "disk":
        return _refusal([("", reply.message)])
    if reply.kind == "oom":
        return _refusal([("", "The device has too little memory for this question.")])
    log.error("a question failed:\n%s", "\n".join(reply.traceback))
    return _json(500, {"message": reply.message})


def _refusal(problems: list[tuple[str, str]], missing: bool = False) -> Response:
    return _json(422, {"problems": problems, "missing": missing})


def _json(status: int, data: object) -> Response:
    return Response(json.dumps(data), status, media_type="application/json")

"""Asking a live supervisor over HTTP, past the queue: for answers that a reader waits for."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from worker.contract.ability import demands, hindrances, why_nobody
from worker.contract.errors import NotFound, UserError
from worker.contract.inputs import AskReadFacts, Inputs, Question
from worker.contract.progress import Event
from worker.contract.records import LaneAddress
from worker.engine.announced import NoWorker, Unreachable, WorkerBusy, nobody
from worker.engine.reach import begin, post, unreachable
from worker.store.store import Store

CONNECT_SECONDS = 2.0


class Superseded(UserError):
    """The same reader asked something newer, and looks at that."""


def ask(store: Store, question: Question, timeout: float) -> dict[str, Any]:
    """Ask the live workers that can answer, in turn until one does.

    Raises NoWorker when none is alive, Unreachable with what kept each from answering, Superseded
    when the reader asked something newer, and UserError when no worker has what the question is
    about.
    """
    troubles = []
    for lane in _lanes(store, question):
        try:
            response = post(lane, "/ask", _body(question, timeout), _limits(timeout))
        except httpx.TransportError as error:
            troubles.append(_trouble(lane, error, timeout))
            continue
        if response.status_code == 401:
            troubles.append(unreachable(lane, None))
            continue
        return _read(response.status_code, response.json(), timeout)
    raise _nobody(store, troubles)


async def follow(
    store: Store, question: Question, timeout: float
) -> AsyncIterator[Event | dict[str, Any]]:
    """Ask as `ask` does; yield what the worker tells while it computes, and last the answer.

    Who closes the iterator waits no longer, and the computing ends at its next report. Close it
    with contextlib.aclosing.
    """
    body = _body(question, timeout) | {"follow": True}
    troubles = []
    for lane in await asyncio.to_thread(_lanes, store, question):
        try:
            async with begin(lane, "/ask", body, _limits(timeout)) as response:
                if response.status_code == 401:
                    troubles.append(unreachable(lane, None))
                    continue
                async for line in response.aiter_lines():
                    data = json.loads(line)
                    if "events" not in data:
                        yield _read(data.get("status", response.status_code), data, timeout)
                        return
                    for event in data["events"]:
                        yield Event.model_validate(event)
        except httpx.TransportError as error:
            troubles.append(_trouble(lane, error, timeout))
    raise _nobody(store, troubles)


def _lanes(store: Store, question: Question) -> list[LaneAddress]:
    """The lanes of workers that can answer, idle ones first; of a study, those that can do most."""
    lanes = store.lanes()
    if isinstance(question, AskReadFacts) or not lanes:
        return lanes
    asked = demands(question.spec)
    menus = store.menus()
    if problems := why_nobody(question.spec, menus):
        raise UserError(problems=problems)
    met = {id: sum(not hindrances(one, menu) for one in asked) for id, menu in menus.items()}
    able = [lane for lane in lanes if met.get(lane.id, 0)]
    return sorted(able, key=lambda lane: -met[lane.id])


def _body(question: Question, timeout: float) -> dict[str, Any]:
    """Leave the inputs out: the worker resolves the spec itself, with the paths of its own host."""
    if not isinstance(question, AskReadFacts):
        question = question.model_copy(update={"inputs": Inputs(out="")})
    return {"question": question.model_dump(mode="json"), "timeout": timeout}


def _limits(timeout: float) -> httpx.Timeout:
    return httpx.Timeout(timeout + 1.0, connect=min(CONNECT_SECONDS, timeout))


def _trouble(lane: LaneAddress, error: httpx.TransportError, timeout: float) -> str:
    """Say what kept a lane from answering; raises WorkerBusy where it is there and slow."""
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
        raise WorkerBusy(_too_slow(timeout)) from None
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return unreachable(lane, error)
    return f"The worker {lane.id} broke the connection off. Ask again."


def _nobody(store: Store, troubles: list[str]) -> NoWorker:
    return Unreachable(" ".join(troubles)) if troubles else nobody(store)


def _read(status: int, data: dict[str, Any], timeout: float) -> dict[str, Any]:
    if status == 504:
        raise WorkerBusy(_too_slow(timeout))
    if status == 503:
        raise WorkerBusy(str(data["message"]))
    if status == 409:
        raise Superseded("A newer question took the place of this one.")
    if status == 422:
        problems = [(str(field), str(sentence)) for field, sentence in data["problems"]]
        raise (NotFound if data["missing"] else UserError)(problems=problems)
    if status != 200:
        raise RuntimeError(f"the worker answered {status}: {data['message']}")
    answer: dict[str, Any] = data["answer"]
    return answer


def _too_slow(timeout: float) -> str:
    return f"The worker gave no answer within {timeout:g} s; it may be loading a model. Try again."

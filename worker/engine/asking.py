"""Asking a live supervisor over HTTP, past the queue: for answers that a reader waits for."""

from typing import Any

import httpx

from worker.contract.ability import demands, hindrances, why_nobody
from worker.contract.errors import NotFound, UserError
from worker.contract.inputs import AskReadFacts, Inputs, Question
from worker.contract.records import LaneAddress
from worker.engine.reach import post, unreachable
from worker.store.store import Store

CONNECT_SECONDS = 2.0


class NoWorker(UserError):
    """Nobody can answer."""


class Unreachable(NoWorker):
    """Workers are alive and compute runs, and this process reaches none of their lanes."""


class WorkerBusy(NoWorker):
    """A worker is alive and starts, or computes something else for longer than one can wait."""


def ask(store: Store, question: Question, timeout: float) -> dict[str, Any]:
    """Ask the live workers that can answer, in turn until one does.

    Raises NoWorker when none is alive, Unreachable with what kept each from answering, and
    UserError when none has what the question is about.
    """
    limits = httpx.Timeout(timeout + 1.0, connect=min(CONNECT_SECONDS, timeout))
    body = {"question": _bare(question).model_dump(mode="json"), "timeout": timeout}
    troubles = []
    for lane in _lanes(store, question):
        try:
            response = post(lane, "/ask", body, limits)
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout):
            raise WorkerBusy(_too_slow(timeout)) from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            troubles.append(unreachable(lane, error))
            continue
        except httpx.TransportError:
            troubles.append(f"The worker {lane.id} broke the connection off. Ask again.")
            continue
        if response.status_code == 401:
            troubles.append(unreachable(lane, None))
            continue
        return _read(response, timeout)
    if troubles:
        raise Unreachable(" ".join(troubles))
    raise NoWorker("No worker is alive to answer. Start one with `lethe worker`.")


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


def _bare(question: Question) -> Question:
    """Leave the inputs out: the worker resolves the spec itself, with the paths of its own host."""
    if isinstance(question, AskReadFacts):
        return question
    return question.model_copy(update={"inputs": Inputs(out="")})


def _read(response: httpx.Response, timeout: float) -> dict[str, Any]:
    if response.status_code == 504:
        raise WorkerBusy(_too_slow(timeout))
    if response.status_code == 503:
        raise WorkerBusy(str(response.json()["message"]))
    data: dict[str, Any] = response.json()
    if response.status_code == 422:
        problems = [(str(field), str(sentence)) for field, sentence in data["problems"]]
        raise (NotFound if data["missing"] else UserError)(problems=problems)
    if response.status_code != 200:
        raise RuntimeError(f"the worker answered {response.status_code}: {data['message']}")
    answer: dict[str, Any] = data["answer"]
    return answer


def _too_slow(timeout: float) -> str:
    return f"The worker gave no answer within {timeout:g} s; it may be loading a model. Try again."

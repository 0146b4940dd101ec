"""Asking a live supervisor over HTTP, past the queue: for answers that a reader waits for."""

from typing import Any

import httpx

from worker.contract.errors import NotFound, UserError
from worker.contract.inputs import AskReadFacts, Inputs, Question
from worker.store.store import Store

CONNECT_SECONDS = 2.0


class NoWorker(UserError):
    """Nobody can answer."""


class WorkerBusy(NoWorker):
    """A worker is alive and starts, or computes something else for longer than one can wait."""


def ask(store: Store, question: Question, timeout: float) -> dict[str, Any]:
    """Ask the live workers in turn until one answers; raise NoWorker when none can be reached."""
    limits = httpx.Timeout(timeout + 1.0, connect=min(CONNECT_SECONDS, timeout))
    body = {"question": _bare(question).model_dump(mode="json"), "timeout": timeout}
    for address, token in store.lanes():
        headers = {"Authorization": f"Bearer {token}"}
        try:
            # No proxy of the environment for a neighbour; and no certificates, which take 20 ms to
            # read, for an address that is plain http.
            with httpx.Client(timeout=limits, trust_env=False, verify=False) as client:
                response = client.post(f"{address}/ask", json=body, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            continue
        except httpx.TimeoutException:
            raise WorkerBusy(_too_slow(timeout)) from None
        except httpx.TransportError:
            continue
        return _read(response, timeout)
    raise NoWorker("No worker is alive to answer. Start one with `lethe worker`.")


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

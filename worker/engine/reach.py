"""Whether this process reaches the workers' lanes, and what to do where it does not.

A worker tells its lane's address through the database. That both reach the database does not say
that one reaches the other: a worker on another host may have announced an address of its own that
means nothing here.
"""

import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx

from worker.contract.records import LaneAddress
from worker.store.store import Store

LOOK_SECONDS = 2.0
"""For so long a worker is waited for that is only looked at."""
KEEP_SECONDS = 5.0
"""For so long what was found is said again, however often it is asked."""

PLAIN: dict[str, Any] = {"trust_env": False, "verify": False}
"""No proxy of the environment for a neighbour; and no certificates, which take 20 ms to read, for
an address that is plain http."""


def post(lane: LaneAddress, path: str, body: object, timeout: httpx.Timeout) -> httpx.Response:
    """Send a lane JSON with its token; raises httpx.TransportError where nobody answers."""
    with httpx.Client(timeout=timeout, **PLAIN) as client:
        return client.post(f"{lane.address}{path}", json=body, headers=_token(lane))


@asynccontextmanager
async def begin(
    lane: LaneAddress, path: str, body: object, timeout: httpx.Timeout
) -> AsyncIterator[httpx.Response]:
    """Send as `post` does; give the response while it comes, and close it with the block."""
    where = f"{lane.address}{path}"
    async with (
        httpx.AsyncClient(timeout=timeout, **PLAIN) as client,
        client.stream("POST", where, json=body, headers=_token(lane)) as response,
    ):
        yield response


def _token(lane: LaneAddress) -> dict[str, str]:
    return {"Authorization": f"Bearer {lane.token}"}


def unreachable(lane: LaneAddress, error: httpx.TransportError | None) -> str:
    """Say that a worker's lane cannot be used from here, and the cure; `error` is None where
    somebody answered who does not know its token."""
    found = (
        f"at {lane.address} somebody else answers, who does not know its token"
        if error is None
        else f"nobody answers at {lane.address}"
    )
    return (
        f"The worker {lane.id} cannot be reached from here for questions: {found}. If it has not "
        f"just ended, set LETHE_WORKER_HOST where it runs to an address of its host that this one "
        f"reaches, let no firewall stand between them, and start it again."
    )


class Reach:
    """Which live workers this process cannot reach, looked at no more often than KEEP_SECONDS."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._found: dict[str, str] = {}
        self._looked = float("-inf")

    def troubles(self) -> dict[str, str]:
        """Worker -> why its questions cannot be answered; those that are reached are absent."""
        with self._lock:
            if time.monotonic() - self._looked > KEEP_SECONDS:
                lanes = self._store.lanes()
                with ThreadPoolExecutor(max(1, min(8, len(lanes)))) as threads:
                    said = list(threads.map(look, lanes))
                found = zip(lanes, said, strict=True)
                self._found = {lane.id: words for lane, words in found if words}
                self._looked = time.monotonic()
            return dict(self._found)


def look(lane: LaneAddress) -> str:
    """Why a lane cannot be used from here; empty when it can."""
    try:
        response = post(lane, "/here", {}, httpx.Timeout(LOOK_SECONDS))
    except httpx.TimeoutException as error:
        # A lane that was connected to and is slow is there.
        return unreachable(lane, error) if isinstance(error, httpx.ConnectTimeout) else ""
    except httpx.TransportError as error:
        return unreachable(lane, error)
    return unreachable(lane, None) if response.status_code == 401 else ""

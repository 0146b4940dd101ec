"""How much visitors of an open house may ask: each address, and all of them together.

Each has a bucket of requests that fills up evenly; who has an account draws from none. Counted in
each web process, as wrong tokens are.
"""

import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.access.attempts import MOST, network_of
from worker.contract.errors import TooMuch
from worker.contract.settings import Settings

MINUTE = 60.0
ASKED_AGAIN = 5.0
"""Seconds after which it is worth asking again where too many questions wait."""


class Bucket:
    """Requests that may be made now: at most a minute's worth, filled up evenly."""

    def __init__(self, most: int, now: float) -> None:
        self._most, self._left, self._at = most, float(most), now

    def wait(self, now: float) -> float:
        """Seconds until one more request may be made; 0 for now."""
        self._left = min(self._most, self._left + (now - self._at) * self._most / MINUTE)
        self._at = now
        return 0.0 if self._left >= 1 else (1 - self._left) * MINUTE / self._most

    def take(self) -> None:
        """Count a request."""
        self._left -= 1


class Visits:
    """Counts what visitors ask, by address, in this process. Used from several threads."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._each = clock, settings.open_each
        self._most = settings.open_questions
        self._lock = threading.Lock()
        self._all = Bucket(settings.open_all, clock())
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._asking: Counter[str] = Counter()

    def refusal(self, address: str) -> TooMuch | None:
        """Count a request from an address; or why it is too much, which is not counted."""
        network, now = network_of(address), self._clock()
        with self._lock:
            own = self._buckets.pop(network, None) or Bucket(self._each, now)
            self._buckets[network] = own
            if len(self._buckets) > MOST:  # who has been silent longest has a full one anyway
                self._buckets.popitem(last=False)
            if wait := own.wait(now):
                return _too_much("from this address", wait)
            if wait := self._all.wait(now):
                return _too_much("from all visitors together", wait)
            own.take()
            self._all.take()
        return None

    @contextmanager
    def asking(self, address: str) -> Iterator[None]:
        """Hold a place among the questions that wait for an answer; raises TooMuch for none."""
        network = network_of(address)
        with self._lock:
            n_own, n_all = self._asking[network], self._asking.total()
            is_full = n_all >= self._most or n_own >= math.ceil(self._most / 2)
            if not is_full:
                self._asking[network] += 1
        if is_full:
            raise TooMuch(
                f"{n_all} questions of visitors wait for an answer, {n_own} of them from this "
                f"address, which is as many as this server takes. Ask again in a few seconds; who "
                f"has an account does not wait behind visitors.",
                seconds=ASKED_AGAIN,
            )
        try:
            yield
        finally:
            with self._lock:
                self._asking[network] -= 1
                if not self._asking[network]:
                    del self._asking[network]


def _too_much(whose: str, wait: float) -> TooMuch:
    n = math.ceil(wait)
    return TooMuch(
        f"More requests came {whose} than this server answers in a minute to who has no account; "
        f"wait {n} second{'s' if n > 1 else ''} and try again.",
        seconds=wait,
    )

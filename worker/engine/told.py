"""What a worker was asked and answered a moment ago: ten who submit the same ask it once.

1. The first who asks something waits for its answer; who asks the same meanwhile waits with it.
2. A good answer is remembered for a while. A refusal is not: who mends what was refused asks anew.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

REMEMBERED = 60.0
"""Seconds for which an answer is given again."""
KEPT = 256
"""Answers that are remembered: the newest."""
Answer = dict[str, Any]


class Told:
    """Answers by what was asked. Usable from threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[str, tuple[float, Future[Answer]]] = {}

    def of(self, question: str, ask: Callable[[], Answer]) -> Answer:
        """The answer to a question that `ask` asks, or that somebody asks now or asked just now.

        Raises what `ask` raised, to all who waited for it.
        """
        with self._lock:
            known = self._asked.get(question)
            mine = known is None or self._is_old(*known)
            future: Future[Answer] = Future() if mine or known is None else known[1]
            if mine:
                self._asked.pop(question, None)
                self._asked[question] = self._clock(), future
                for one in list(self._asked)[:-KEPT]:
                    del self._asked[one]
        if mine:
            self._put(question, future, ask)
        return future.result()

    def _is_old(self, since: float, future: Future[Answer]) -> bool:
        return future.done() and self._clock() - since > REMEMBERED

    def _put(self, question: str, future: Future[Answer], ask: Callable[[], Answer]) -> None:
        try:
            future.set_result(ask())
        except BaseException as error:
            with self._lock:
                if self._asked.get(question, (0.0, None))[1] is future:
                    del self._asked[question]
            future.set_exception(error)

"""Opens the engine, however long that takes: the server answers in words until it is open.

A database that is locked, away or full keeps no server from starting. It is tried again with
pauses that grow, and whoever asks meanwhile is told what is wrong.
"""

import logging
import threading
from collections.abc import Callable

from worker.contract.errors import Unavailable
from worker.contract.settings import Settings
from worker.engine.client import Engine
from worker.store.trouble import trouble

log = logging.getLogger("lethe.app")
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
FIRST_TRY = 10.0
"""Seconds for which a starting server waits for the first try before it answers without."""


class Opening:
    """An engine that is opened on a thread of its own, or one that is open already."""

    def __init__(
        self,
        settings: Settings,
        opened: Engine | None = None,
        prepare: Callable[[Engine], None] | None = None,
    ) -> None:
        """`prepare` is called with the open engine, before anybody is answered with it."""
        self._settings, self._opened, self._is_mine = settings, opened, opened is None
        self._prepare = prepare or _leave_as_it_is
        self._words = "The database is being opened. Try again in a moment."
        self.error: Exception | None = None
        """What no other try would help."""
        self._tried, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._open, name="open-engine", daemon=True)

    def start(self) -> None:
        """Begin to open, and wait for the end of the first try, though not for long.

        Raises what no other try would help: UserError in words.
        """
        if self._opened is not None and not self._is_mine:
            self._prepare(self._opened)
        if self._is_mine and not self._thread.is_alive() and self._opened is None:
            self._thread.start()
            self._tried.wait(FIRST_TRY)
        if self.error is not None:
            raise self.error

    def engine(self) -> Engine:
        """The open engine; raises Unavailable with the reason while there is none."""
        if self._opened is None:
            raise Unavailable(self._words)
        return self._opened

    def close(self) -> None:
        """Close what was opened here."""
        self._closed.set()
        if self._is_mine and self._thread.ident is not None:
            self._thread.join()
            if self._opened is not None:
                self._opened.close()

    def _open(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                opened = Engine.open(self._settings)
                self._prepare(opened)
                self._opened = opened
            except Exception as error:
                if words := trouble(error):
                    self._words = words
                    log.warning("%s", words)
                else:
                    self.error = error
            self._tried.set()
            if self._opened is not None or self.error is not None:
                return
            self._closed.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _leave_as_it_is(engine: Engine) -> None:
    """Nothing is prepared but for an open house."""

"""Wakes those who follow runs: one query every 0.1 s for all of them, none while nobody follows."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from worker.engine.patience import keep_doing
from worker.store.store import Store

POLL_SECONDS = 0.1


class Watch:
    """Sets a follower's asyncio event whenever the number of its run's events has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._followers: dict[asyncio.Event, tuple[str, asyncio.AbstractEventLoop]] = {}
        self._seen: dict[str, int] = {}
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    @contextmanager
    def subscribe(self, run_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set when the run has news; clear it before reading."""
        changed = asyncio.Event()
        with self._lock:
            self._followers[changed] = (run_id, asyncio.get_running_loop())
            if self._thread is None:
                polling = (self._poll, POLL_SECONDS, self._is_idle)
                self._thread = threading.Thread(
                    target=keep_doing, args=polling, name="watch-runs", daemon=True
                )
                self._thread.start()
        try:
            yield changed
        finally:
            with self._lock:
                del self._followers[changed]

    def close(self) -> None:
        self._closed.set()

    def _is_idle(self) -> bool:
        """Whether the thread is to end; the next follower then starts another."""
        with self._lock:
            if self._followers and not self._closed.is_set():
                return False
            self._thread = None
            return True

    def _poll(self) -> None:
        with self._lock:
            followers = dict(self._followers)
        counts = self._store.event_counts({run_id for run_id, _ in followers.values()})
        for changed, (run_id, loop) in followers.items():
            if run_id not in counts or counts[run_id] != self._seen.get(run_id):
                _wake(changed, loop)
        self._seen = counts


def _wake(changed: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    with suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(changed.set)

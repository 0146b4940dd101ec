"""The engine as web server and command line use it: submit, cancel, follow, ask."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self

from worker.contract.inputs import Question
from worker.contract.progress import FINAL_STATES, Event
from worker.contract.settings import Settings
from worker.contract.spec import Spec
from worker.engine.announced import NoWorker, Unreachable, WorkerBusy
from worker.engine.asking import Superseded, ask, follow
from worker.engine.moving import move
from worker.engine.reach import Reach
from worker.engine.told import Told
from worker.engine.watch import Watch
from worker.store.acting import NOBODY, Acting
from worker.store.describe import parents_of
from worker.store.guests import refuse_outside
from worker.store.limits import refuse_beyond
from worker.store.placing import placed
from worker.store.runs import insert_run
from worker.store.store import Store
from worker.store.submissions import remember_key, run_of_key
from worker.store.taking import takers_of
from worker.store.trouble import trouble
from worker.store.workers import run_is_computed

if TYPE_CHECKING:
    from dbos import DBOSClient

__all__ = ["Engine", "NoWorker", "Superseded", "Unreachable", "WorkerBusy"]
log = logging.getLogger(__name__)
TROUBLE_SECONDS = 1.0


class Engine:
    """What may be asked of the workers. Usable from threads; close it when done."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.session = ""
        """Whose submissions these are, so that sessions take turns; empty for scripts."""
        self._watch = Watch(store)
        self._queue = _Queue(store)
        self.reach = Reach(store)
        """Which workers' lanes this process cannot use."""
        self.told = Told()
        """What workers said of what was submitted a moment ago."""
        self._opener = threading.Thread(target=self._open_behind, name="open-queue", daemon=True)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open store and queue. The queue's client opens behind, in about a second."""
        engine = cls(Store.open(settings))
        engine._opener.start()
        return engine

    def of_session(self, session: str, acting: Acting | None = None) -> Self:
        """This engine for what one session submits, and one person makes; close only the first."""
        own = copy(self)
        own.session = session
        if acting is not None:
            own.store = self.store.acting_for(acting)
        return own

    def submit(
        self,
        spec: Spec,
        *,
        owner: str = "",
        title: str = "",
        tags: Sequence[str] = (),
        parents: Sequence[str] | None = None,
        priority: int | None = None,
        key: str = "",
        session: str | None = None,
    ) -> str:
        """Write a run and queue it in one transaction; return its id.

        The same `key` of the same owner makes no second run: the first one's id is returned.
        `parents` are derived from the spec when None; `priority` from its kind (lower is sooner).
        `session` takes turns with others; None is the one that this engine is for, as is the
        person of an empty `owner`.
        Raises UserError when a parent does not exist.
        """
        client = self._client()
        from worker.engine.queue import PRIORITIES, enqueue

        order = PRIORITIES[spec.kind] if priority is None else priority
        browser = self.session if session is None else session
        owner = owner or self.store.acting.person
        with self.store.database.write() as rows:
            if key:
                self.store.database.lock(rows, f"submission {owner} {key}")
                if made := run_of_key(rows, owner, key, spec):
                    return made
            if self.store.acting.person:  # a study's own runs are not refused halfway
                if self.store.acting.is_guest:
                    refuse_outside(rows, self.store.acting.person, spec, is_submitted=True)
                made_of = parents_of(spec) if parents is None else parents
                project = placed(rows, made_of, owner)["project"]
                for taker in takers_of(self.store.acting.person, project):
                    self.store.database.lock(rows, f"limits of {taker.kind} {taker.id}")
                refuse_beyond(rows, self.store.acting.person, project)
            run_id = insert_run(
                rows,
                spec,
                owner=owner,
                title=title,
                tags=tags,
                parents=parents,
                priority=order,
                browser=browser,
            )
            if key:
                remember_key(rows, owner, key, spec, run_id)
            rows.flush()
            enqueue(client, rows, run_id, spec.kind, browser, order)
        self.store.acting.tell(f"run {run_id}")
        return run_id

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop: at once when it waits, at its next report when it is computed.

        A finished run stays as it is. A study's children are cancelled with it. Raises NotFound.
        """
        record = self.store.request_cancel(run_id, run_is_computed())
        if record.state == "cancelled":
            self._client().cancel_workflow(run_id)
            if record.kind == "study":  # one that a worker holds ends its children by itself
                for child in self.store.children(run_id):
                    self.cancel(child.id)

    def end_class(self, id: str) -> None:
        """End a class, and cancel those of its runs that wait; what is computed goes to its end."""
        waiting = self.store.end_class(id)
        for run_id in waiting:
            self.of_session("", NOBODY).cancel(run_id)

    def move(self, run_id: str, worker: str, by: str) -> None:
        """Leave a run that waits to one worker, or with an empty name to any; see `move`."""
        self._client()
        move(self.store, run_id, worker, by)

    def events(self, run_id: str, after: int = -1) -> list[tuple[int, Event]]:
        """The run's events with offsets greater than `after`, at most 1,000; does not wait."""
        return self.store.events(run_id, after)

    async def follow(self, run_id: str, after: int = -1) -> AsyncIterator[tuple[int, Event]]:
        """Yield the run's events from `after` on as they happen; end after its final state.

        Raises NotFound, also when the run is deleted meanwhile.
        """
        with self._watch.subscribe(run_id) as changed:
            while True:
                changed.clear()
                batch, is_over = await self._news(run_id, after)
                for after, event in batch:
                    yield after, event
                    if event.type == "state" and event.state in FINAL_STATES:
                        return
                if is_over:
                    return
                if not batch:
                    await changed.wait()

    def ask(self, question: Question, timeout: float = 10) -> dict[str, Any]:
        """Ask a live worker and wait for the answer, as the answering contract's JSON.

        Raises UserError as the worker said it, NoWorker when none is alive, and
        WorkerBusy when it starts or takes longer than `timeout` seconds. Raises Superseded when
        the question's reader asks something newer meanwhile.
        """
        return ask(self.store, question, timeout)

    def answer(
        self, question: Question, timeout: float = 10
    ) -> AsyncIterator[Event | dict[str, Any]]:
        """Ask as `ask` does; yield what is told while it is computed, and last the answer.

        Who closes the iterator (contextlib.aclosing) ends the computing at its next report.
        """
        return follow(self.store, question, timeout)

    def close(self) -> None:
        """Close every connection."""
        self._watch.close()
        if self._opener.is_alive():
            self._opener.join()
        self._queue.close()
        self.store.close()

    def _open_behind(self) -> None:
        try:
            self._client()
        except Exception as error:  # whoever needs the queue next opens it, and is told
            log.warning("the queue could not be opened: %s", trouble(error) or repr(error))

    async def _news(self, run_id: str, after: int) -> tuple[list[tuple[int, Event]], bool]:
        """Events after `after`, and whether there will be no more.

        Waits while the database is in trouble: a stream that has begun can say no error.
        """
        while True:
            try:
                batch = await asyncio.to_thread(self.store.events, run_id, after)
                return batch, not batch and await asyncio.to_thread(self._is_over, run_id, after)
            except Exception as error:
                if not trouble(error):
                    raise
            await asyncio.sleep(TROUBLE_SECONDS)

    def _is_over(self, run_id: str, after: int) -> bool:
        over = self.store.run(run_id).state in FINAL_STATES
        return over and self.store.event_counts([run_id]).get(run_id, 0) <= after + 1

    def _client(self) -> "DBOSClient":
        return self._queue.client()


class _Queue:
    """The queue's client, opened when it is first needed: DBOS takes a second, in which the web
    server can already answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._opening = threading.Lock()
        self._opened: DBOSClient | None = None

    def client(self) -> "DBOSClient":
        with self._opening:
            if self._opened is None:
                from worker.engine.queue import open_client, prepare

                prepare(self._store.database)
                self._opened = open_client(self._store.database)
            return self._opened

    def close(self) -> None:
        with self._opening:
            if self._opened is not None:
                self._opened.destroy()

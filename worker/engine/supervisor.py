"""The supervisor of one device. It holds no torch, so that no CUDA error can end it.

1. Claim the worker's row under the id `host:device`; refuse while a live process holds it.
2. Start a compute process for runs and one for questions; beat, and renew their leases.
3. When the first has announced, take the runs that it can do, one at a time, as their turn comes.
4. Now and then: adopt dead workers' runs, settle runs with their jobs, forget old jobs.
"""

import argparse
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING
from uuid import uuid4

from worker.contract.errors import UserError
from worker.contract.logs import set_up
from worker.contract.private import keep_private
from worker.contract.secret_files import exposed
from worker.contract.settings import WRONG_SETTINGS, Settings, settings
from worker.engine import holder
from worker.engine.client import Engine
from worker.engine.facing import Place, check_host, place
from worker.engine.lane import Lane
from worker.engine.patience import keep_doing
from worker.engine.runner import Runner
from worker.engine.slot import Slot
from worker.engine.staying import Stay
from worker.engine.study.conductor import LOOK_SECONDS as STUDY_LOOK_SECONDS
from worker.engine.study.conductor import Conductor
from worker.engine.timing import Timing
from worker.engine.wire import Announced
from worker.store.attempts import Adopted
from worker.store.database import parse_url
from worker.store.store import Store

if TYPE_CHECKING:
    from worker.engine.jobs import Jobs

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.25
FORGET_SECONDS = 600.0
FIRST_LEASE_SECONDS = 120.0
HELD = 3
"""Exit code: a live process holds this worker's id."""


class Supervisor:
    """One device's supervisor; `run` lasts until the process is asked to stop."""

    def __init__(
        self,
        chosen: Settings,
        name: str,
        door: str,
        timing: Timing,
        where: Place,
        stay: Stay | None = None,
    ) -> None:
        self.id, self._settings, self._timing = name, chosen, timing
        self._generation = uuid4().hex
        self._store = Store.open(chosen)
        self._stop, self._stay, self._n_given = threading.Event(), stay or Stay(), 0
        self._takes_runs, self._drained = False, False
        self._announced: deque[Announced] = deque(maxlen=1)
        self._studies: set[str] = set()
        self._engine = Engine(self._store)
        self._last = {"halt": 0.0, "reap": 0.0, "forget": time.monotonic()}
        self._claim()
        arguments = ["--door", door, "--lease", str(FIRST_LEASE_SECONDS)]
        folder = chosen.data.resolve()
        plain = re.sub(r"[^\w.-]", "_", name)
        logs = folder / "logs"
        self._runs = Slot(
            "runs", arguments, logs / f"{plain}.runs.log", self._on_announced, timing.respawn
        )
        self._questions = self._runs
        if chosen.lanes == 2:
            log_file = logs / f"{plain}.questions.log"
            self._questions = Slot(
                "questions", arguments, log_file, lambda announced: None, timing.respawn
            )
        self._slots = list(dict.fromkeys((self._runs, self._questions)))
        self._runner = Runner(
            self._store,
            self._runs,
            worker=name,
            generation=self._generation,
            folder=folder / "work" / plain,
            timing=timing,
            on_adopted=self._restart,
        )
        elsewhere = None if self._runs is self._questions else self._runs
        self._lane = Lane(self._store, self._questions, where, timing.question, elsewhere)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, or as long as it is to stay."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for slot in self._slots:
            slot.keep_warm()
        beating = (self._beat, self._timing.beat, lambda: False)
        threading.Thread(
            target=keep_doing, args=beating, name=f"heartbeat of {self.id}", daemon=True
        ).start()
        # Imported after compute was started: the two of them take their seconds side by side.
        from worker.engine.jobs import Jobs

        jobs = Jobs(
            self._store,
            self.id,
            self._generation,
            self._timing,
            compute=self._runner.carry_out,
            conduct=self._conduct,
            cancel=self._engine.cancel,
        )
        keep_doing(lambda: self._look_after(jobs), LOOK_SECONDS, self._is_over)
        self._shut_down()

    def _claim(self) -> None:
        held_by = self._store.claim_worker(
            self.id,
            self._generation,
            holder.this_process(),
            self._settings.device,
            self._timing.stale,
            holder.is_gone,
        )
        if held_by is not None:
            raise UserError(
                f"A live worker holds the id {self.id!r} (process {held_by.get('pid')}); two "
                f"would compute the same runs. Stop it, or wait {self._timing.stale:g} s if it "
                f"died on another machine."
            )

    def _on_announced(self, announced: Announced) -> None:
        """Keep an announcement for the main thread: the one that reads messages must not wait for
        the database, nor end when it is away."""
        self._announced.append(announced)

    def _pass_on(self) -> None:
        """Write the newest announcement; it is kept while the database is away."""
        announced = self._announced[0]
        for fact_set in announced.fact_sets:
            self._store.sync_bundled(fact_set)
        self._store.announce(self.id, self._generation, announced.announcement)
        with suppress(ValueError):  # a newer one has taken its place
            self._announced.remove(announced)

    def _beat(self) -> None:
        """Beat once, and renew the leases from the moment at which the beat was begun."""
        begun = time.monotonic()
        try:
            self._store.beat(
                self.id,
                self._generation,
                run=self._runner.run_id,
                problem=self._runs.problem or self._questions.problem,
                address=self._lane.address,
                token=self._lane.token,
            )
        except Adopted:
            self._restart()
        for slot in self._slots:
            slot.renew(begun + self._timing.lease)

    def _look_after(self, jobs: "Jobs") -> None:
        try:
            self._look(jobs)
        except Adopted:
            self._restart()

    def _look(self, jobs: "Jobs") -> None:
        for slot in self._slots:
            slot.keep_warm()
        self._lane.keep_up()
        self._lane.end_stuck()
        if self._announced:
            self._pass_on()
        if self._is_due("halt", self._timing.beat):
            self._drained = self._store.drained(self.id) is not None and not jobs.holds()
        if self._runs.announcement is None:
            return
        if not self._takes_runs:
            jobs.take()
            self._takes_runs = True
        # Where no process lives, a run would wait for one.
        if not self._runs.problem and self._stay.takes_runs() and jobs.hand():
            self._n_given = -1  # it has something to do, before the process is given it
        if self._is_due("reap", self._timing.reap):
            jobs.look_after()
        if self._is_due("forget", FORGET_SECONDS):
            jobs.forget()

    def _conduct(self, run_id: str) -> None:
        """Conduct a study: its children go through the queue, to any worker."""
        conductor = Conductor(
            self._store,
            self._engine.submit,
            self._engine.cancel,
            worker=self.id,
            generation=self._generation,
            stopping=self._stop,
        )
        self._studies.add(run_id)
        try:
            conductor.carry_out(run_id)
        except Adopted:
            self._restart()
        finally:
            self._studies.discard(run_id)

    def _is_over(self) -> bool:
        if self._stop.is_set():
            return True
        if self._drained:
            log.info("%s ends: it was drained, and its run is done", self.id)
            return True
        given = sum(slot.n_given for slot in self._slots)
        starts = not self._takes_runs and not self._runs.problem
        busy, self._n_given = starts or given != self._n_given, given
        words = self._stay.over(busy=busy, holds=bool(self._runner.run_id or self._studies))
        if words:
            log.info("%s ends: %s", self.id, words)
        return bool(words)

    def _is_due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now - self._last[what] < seconds:
            return False
        self._last[what] = now
        return True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _shut_down(self) -> None:
        """Let the run go, stop computing, and leave the job to whoever comes next.

        What fails is logged and the rest is done: what is left undone, the reaper of another
        worker or this one's next start does.
        """
        try:
            self._runner.stop()
            if self._studies:
                time.sleep(2 * STUDY_LOOK_SECONDS)  # in which each says that it was interrupted
            for slot in self._slots:
                slot.close()
            self._store.release_worker(self.id, self._generation)
        except Exception:
            log.exception("%s could not end in good order", self.id)
        finally:
            logging.shutdown()
            os._exit(0)

    def _restart(self) -> None:
        """Begin anew in the same process: others have its runs, so all it held is void."""
        log.warning("%s was taken for dead while it was silent; it starts anew", self.id)
        for slot in self._slots:
            slot.close()
        logging.shutdown()
        os.execv(sys.executable, sys.orig_argv)


def main(arguments: list[str] | None = None) -> None:
    """Supervise this machine's device until told to stop."""
    parser = argparse.ArgumentParser(prog="lethe worker", description=__doc__)
    parser.add_argument("--name", default="", help="the worker's id; default host:device")
    parser.add_argument("--door", default="worker.run", help="module that computes")
    parser.add_argument("--timing", default="{}", help="JSON of worker.engine.timing.Timing")
    parser.add_argument("--exit-when-idle", help="end after so long without anything to do")
    parser.add_argument("--max-time", help="end, and hand back what it holds, before this time")
    given = parser.parse_args(arguments or [])
    keep_private()
    logging.getLogger("dbos").setLevel(logging.WARNING)
    try:
        chosen = settings()
        set_up(chosen.log, logging.INFO, "%(asctime)s %(message)s")
        for sentence in exposed(chosen):
            log.warning("%s", sentence)
        check_host(chosen.worker_host)
        database = parse_url(chosen.database)
        stay = Stay.given(given.exit_when_idle, given.max_time)
    except UserError as error:
        print(error.message, file=sys.stderr)
        sys.exit(WRONG_SETTINGS)
    name = given.name or f"{socket.gethostname()}:{chosen.device}"
    try:
        timing = Timing.model_validate_json(given.timing)
        where = place(chosen.worker_host, database)
        supervisor = Supervisor(chosen, name, given.door, timing, where, stay)
    except UserError as error:
        print(error.message, file=sys.stderr)
        sys.exit(HELD)
    supervisor.run()


if __name__ == "__main__":
    main(sys.argv[1:])

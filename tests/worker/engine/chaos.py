"""Kills workers that are not alike while they compute, and counts how every run ended.

1. Two workers are started: each has a model of its own, and both have a third.
2. Runs on the three models are submitted, each slow enough to be hit; more of them when all have
   ended and too few were hit.
3. Again and again one of the two is chosen by lot; when it computes a run that was hit less than
   MOST_HITS times, its compute process or its supervisor is killed. A supervisor is started again.
4. When all have ended: each must have ended once, done, and none was computed twice at once, nor
   again after its end had been written.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from worker.contract.progress import FINAL_STATES
from worker.contract.records import RunRecord
from worker.store.attempts import MAX_CRASHES

MODELS = {"left": ("demo", "both"), "right": ("big", "both")}
MOST_HITS = MAX_CRASHES
"""A run that crashes more often is failed, as it should be; here all are to be done."""
SUPERVISORS = 0.3
"""The share of hits that kill the supervisor, and with it the process that it started."""


@dataclass
class Chaos:
    """What was done, and what came of it."""

    hits: Counter[str] = field(default_factory=Counter)
    """Run -> how often it was killed while it was computed."""
    late: Counter[str] = field(default_factory=Counter)
    """Run -> how often it was killed when it was computed, and before its end was written."""
    n_supervisors: int = 0
    """Hits that killed the supervisor."""
    states: dict[str, str] = field(default_factory=dict)
    """Run -> its last state."""
    lost: list[str] = field(default_factory=list)
    """Runs that did not end done, or without a result."""
    twice: dict[str, str] = field(default_factory=dict)
    """Runs that ended more than once, or that two processes computed at the same time; and how."""
    astray: list[str] = field(default_factory=list)
    """Runs that a worker without their model computed."""
    seconds: float = 0.0


class Chaotic:
    """Two supervisors of a fleet that are killed and started again."""

    def __init__(self, fleet: Any, seed: int) -> None:
        self._fleet, self._lot = fleet, random.Random(seed)
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._ids: list[str] = []
        self.found = Chaos()
        for name, models in MODELS.items():
            fleet.enable(name, models=dict.fromkeys(models, 1))
            self._processes[name] = fleet.launch(name)
        fleet.wait(lambda: set(fleet.store.menus()) == set(MODELS))

    def go(self, n_runs: int, n_hits: int, seconds: float) -> Chaos:
        """Submit runs, kill while they are computed, and wait for all of them."""
        begun = time.monotonic()
        self._submit(n_runs)
        while sum(self.found.hits.values()) < n_hits:
            assert time.monotonic() - begun < seconds, self.found
            if not self._are_open():  # a busy machine looks too seldom
                self._submit(n_hits - sum(self.found.hits.values()))
            self._hit()
        self._fleet.wait(lambda: not self._are_open(), seconds)
        self.found.seconds = time.monotonic() - begun
        for run_id in self._ids:
            self._judge(self._fleet.store.run(run_id))
        return self.found

    def _submit(self, n_runs: int) -> None:
        models = [("demo", "big", "both")[number % 3] for number in range(n_runs)]
        specs = [self._fleet.spec(model, steps=60, pause=0.05) for model in models]
        for number, spec in enumerate(specs):
            self._ids.append(self._fleet.engine.of_session(f"s{number % 3}").submit(spec))

    def _are_open(self) -> bool:
        return any(self._is_open(id) for id in self._ids)

    def _is_open(self, run_id: str) -> bool:
        return self._fleet.store.run(run_id).state not in FINAL_STATES

    def _hit(self) -> None:
        """Kill one worker in the middle of a run, if it is in one that may be hit."""
        name = self._lot.choice(list(MODELS))
        time.sleep(self._lot.uniform(0.1, 0.6))
        found = [r for r in self._fleet.store.runs(state="running") if r.worker == name]
        run = found[0] if found else None
        if run is None or self.found.hits[run.id] >= MOST_HITS:
            return
        notes = self._fleet.notes(run.id)
        if not notes or notes[-1]["what"] != "start":
            return
        pid = notes[-1]["pid"]
        if self._lot.random() < SUPERVISORS:
            self._processes[name].kill()
            self._processes[name].wait()
            self.found.n_supervisors += 1
            self._fleet.wait(lambda: pid not in self._fleet.computes())
            self._processes[name] = self._fleet.launch(name)
        else:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self._fleet.wait(lambda: pid not in self._fleet.computes())
        self._count(pid)

    def _count(self, killed: int) -> None:
        """Note what a process was at when it was killed: the run may have ended in that moment,
        and the next one have begun."""
        for run_id in self._ids:
            notes = [note for note in self._fleet.notes(run_id) if note["pid"] == killed]
            if notes and notes[-1]["what"] == "start":
                self.found.hits[run_id] += 1
            elif notes and self._is_open(run_id):
                self.found.late[run_id] += 1

    def _judge(self, run: RunRecord) -> None:
        found = self.found
        found.states[run.id] = run.state
        if run.state != "done" or self._fleet.store.result(run.id) is None:
            found.lost.append(run.id)
        events = [event for _, event in self._fleet.engine.events(run.id)]
        n_ends = sum(event.type == "state" and event.state in FINAL_STATES for event in events)
        notes = self._fleet.notes(run.id)
        pids = list(dict.fromkeys(note["pid"] for note in notes))
        times = {pid: [n["time"] for n in notes if n["pid"] == pid] for pid in pids}
        overlap = any(max(times[one]) >= min(times[next_one]) for one, next_one in pairwise(pids))
        n_computed = sum(note["what"] == "end" for note in notes)
        if n_ends != 1 or overlap or n_computed > 1 + found.late[run.id]:
            found.twice[run.id] = f"{n_ends} ends, killed late {found.late[run.id]} times: {notes}"
        if run.spec["model"] not in MODELS[run.worker]:
            found.astray.append(run.id)

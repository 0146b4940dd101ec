"""Processes are killed and paused for real: nothing is lost, nothing is computed twice at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from worker.contract.settings import Settings
from worker.store.tables import WorkerRow

LONG = {"steps": 40, "pause": 0.05}
"""About two seconds."""


def test_a_killed_compute_process_loses_nothing(fleet: Any) -> None:
    fleet.start()
    run_id = fleet.submit(**LONG)
    fleet.state(run_id, "running")
    os.kill(fleet.compute_of(run_id), signal.SIGKILL)
    record = fleet.state(run_id, "done")
    assert record.attempt == 2
    never_twice_at_once(fleet, run_id, starts=2)


def test_a_killed_supervisor_takes_its_run_up_again_when_it_is_restarted(fleet: Any) -> None:
    supervisor = fleet.start()
    running, waiting = fleet.submit(**LONG), fleet.submit()
    compute = fleet.compute_of(running)
    fleet.state(running, "running")
    supervisor.kill()
    supervisor.wait()
    fleet.wait(lambda: compute not in fleet.computes(), seconds=2)
    fleet.start()
    assert fleet.state(running, "done").attempt == 2
    fleet.state(waiting, "done")
    never_twice_at_once(fleet, running, starts=2)
    never_twice_at_once(fleet, waiting, starts=1)
    states = [e.state for _, e in fleet.engine.events(running) if e.type == "state"]
    assert states[2:4] == ["running", "interrupted"]
    offsets = [offset for offset, _ in fleet.engine.events(running)]
    assert offsets == list(range(len(offsets)))


def test_another_supervisor_adopts_the_runs_of_a_dead_one(fleet: Any) -> None:
    dying = fleet.start("w1")
    running = fleet.submit(**LONG)
    fleet.state(running, "running")
    fleet.start("w2")
    dying.kill()
    dying.wait()
    record = fleet.state(running, "done")
    assert (record.worker, record.attempt) == ("w2", 3)
    never_twice_at_once(fleet, running, starts=2)


def test_a_paused_supervisor_loses_its_run_and_its_compute_and_begins_anew(fleet: Any) -> None:
    paused = fleet.start("w1")
    running = fleet.submit(steps=400, pause=0.05)
    compute = fleet.compute_of(running)
    fleet.state(running, "running")
    fleet.start("w2")
    paused.send_signal(signal.SIGSTOP)
    fleet.wait(lambda: compute not in fleet.computes(), seconds=4)
    assert fleet.store.run(running).worker == "w1", "the lease ends before the adoption"
    fleet.wait(lambda: fleet.store.run(running).worker == "w2")
    fleet.state(running, "running")
    paused.send_signal(signal.SIGCONT)
    fleet.wait(lambda: fleet.is_ready("w1", paused))
    assert fleet.store.run(running).worker == "w2"
    fleet.engine.cancel(running)
    fleet.state(running, "cancelled")
    never_twice_at_once(fleet, running, starts=2)
    assert "starts anew" in (fleet.data / "w1.log").read_text()


def test_a_second_supervisor_of_the_same_id_refuses_to_start(fleet: Any) -> None:
    fleet.start("w1")
    run_id = fleet.submit(**LONG)
    fleet.state(run_id, "running")
    second = fleet.launch("w1")
    assert second.wait(timeout=20) == 3
    assert "holds the id 'w1'" in (fleet.data / "w1.log").read_text()
    fleet.state(run_id, "done")
    never_twice_at_once(fleet, run_id, starts=1)


def test_a_stopped_supervisor_gives_its_run_to_the_next_without_counting_a_crash(
    fleet: Any,
) -> None:
    stopping = fleet.start("w1")
    run_id = fleet.submit(**LONG)
    fleet.state(run_id, "running")
    stopping.terminate()
    assert stopping.wait(timeout=10) == 0
    assert fleet.store.run(run_id).state == "interrupted"
    assert not fleet.computes()
    assert [w.alive for w in fleet.store.workers()] == [False]
    fleet.start("w2")
    assert fleet.state(run_id, "done").worker == "w2"
    never_twice_at_once(fleet, run_id, starts=2)
    with fleet.store.database.read() as session:
        assert session.execute(sa.text("SELECT max(crashes) FROM runs")).scalar() == 0


def test_a_run_that_kills_every_supervisor_is_failed_in_the_end(fleet: Any) -> None:
    run_id = fleet.submit(hang=True)
    for _ in range(3):
        supervisor = fleet.start()
        fleet.state(run_id, "loading", "running")
        fleet.wait(lambda: fleet.store.workers()[0].run == run_id)
        supervisor.kill()
        supervisor.wait()
    fleet.start()
    assert "died 3 times" in fleet.state(run_id, "failed").message


def test_a_web_server_that_is_killed_after_it_submitted_loses_nothing(
    fleet: Any, chosen: Settings
) -> None:
    script = (
        "import os, signal, sys\n"
        "from worker.contract.settings import settings\n"
        "from worker.contract.spec import parse_spec\n"
        "from worker.engine.client import Engine\n"
        "engine = Engine.open(settings())\n"
        "print(engine.submit(parse_spec(eval(sys.argv[1]))), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, repr(fleet.spec(**LONG).model_dump())]
    died = subprocess.run(command, env=fleet.environment, stdout=subprocess.PIPE, text=True)
    assert died.returncode == -signal.SIGKILL
    run_id = died.stdout.strip()
    assert fleet.store.run(run_id).state == "queued"
    fleet.start()
    fleet.state(run_id, "done")
    never_twice_at_once(fleet, run_id, starts=1)


def test_a_run_whose_worker_is_dead_for_good_is_cancelled_at_once(fleet: Any) -> None:
    supervisor = fleet.start()
    run_id = fleet.submit(**LONG)
    fleet.state(run_id, "running")
    supervisor.kill()
    supervisor.wait()
    with fleet.store.database.write() as session:
        session.execute(sa.update(WorkerRow).values(heartbeat=WorkerRow.heartbeat - 60))
    fleet.engine.cancel(run_id)
    assert fleet.store.run(run_id).state == "cancelled"
    fleet.start()
    after = fleet.submit()
    fleet.state(after, "done")
    assert fleet.store.run(run_id).state == "cancelled"
    assert fleet.starts(run_id) == 1


def test_a_worker_whose_compute_cannot_start_says_why_and_takes_no_run(fleet: Any) -> None:
    (fleet.data / "refuse-to-start").touch()
    run_id = fleet.submit()
    supervisor = fleet.launch()
    problem = fleet.wait(lambda: [w.problem for w in fleet.store.workers() if w.problem])
    assert "no device here" in problem[0]
    assert fleet.store.run(run_id).state == "queued"
    assert [w.ready for w in fleet.store.workers()] == [False]
    (fleet.data / "refuse-to-start").unlink()
    fleet.state(run_id, "done")
    assert supervisor.poll() is None


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc to see processes")
def test_no_compute_process_outlives_its_supervisor(fleet: Any) -> None:
    supervisor = fleet.start(lanes=2)
    fleet.wait(lambda: len(fleet.computes()) == 2)
    supervisor.kill()
    supervisor.wait()
    fleet.wait(lambda: not fleet.computes(), seconds=2)


def never_twice_at_once(fleet: Any, run_id: str, starts: int) -> None:
    """A computation that did not end was killed, and its process was gone before the next."""
    notes = fleet.notes(run_id)
    assert sum(note["what"] == "start" for note in notes) == starts, notes
    pids = [note["pid"] for note in notes if note["what"] == "start"]
    assert len(set(pids)) == starts, "a run was begun twice in one process"
    assert sum(note["what"] == "end" for note in notes) <= 1
    beats = {pid: [] for pid in pids}
    for note in notes:
        beats[note["pid"]].append(note["time"])
    for earlier, later in zip(pids, pids[1:], strict=False):
        assert max(beats[earlier]) < min(beats[later]), notes
    assert time.monotonic() > notes[-1]["time"]

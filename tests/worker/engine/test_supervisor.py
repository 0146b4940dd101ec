"""Processes are killed and paused for real: nothing is lost, nothing is computed twice at once."""

import signal
import time
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from worker.store.tables import Run, WorkerRow

LONG = {"steps": 40, "pause": 0.05}
"""About two seconds."""


def test_a_killed_supervisor_takes_its_run_up_again_when_it_is_restarted(fleet: Any) -> None:
    supervisor = fleet.start(lanes=2)
    running, waiting = fleet.submit(**LONG), fleet.submit()
    fleet.state(running, "running")
    fleet.wait(lambda: len(fleet.computes()) == 2)
    supervisor.kill()
    supervisor.wait()
    fleet.wait(lambda: not fleet.computes())
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
    workers = {"w1": fleet.start("w1"), "w2": fleet.start("w2")}
    running = fleet.submit(**LONG)
    dying = fleet.state(running, "running").worker
    workers[dying].kill()
    workers[dying].wait()
    record = fleet.state(running, "done")
    assert record.worker != dying
    events = [event.message for _, event in fleet.engine.events(running)]
    assert f"The worker {dying} stopped answering; another one starts the run again." in events
    never_twice_at_once(fleet, running, starts=2)


def test_a_paused_supervisor_loses_its_run_and_its_compute_and_begins_anew(fleet: Any) -> None:
    paused = fleet.start("w1")
    running = fleet.submit(steps=100_000, pause=0.05)
    compute = fleet.compute_of(running)
    fleet.state(running, "running")
    fleet.start("w2")
    since = time.time()
    fleet.pause(paused)
    fleet.wait(lambda: fleet.store.run(running).attempt > 1)
    assert compute not in fleet.computes(), "the lease ends before the adoption"
    fleet.wait(lambda: fleet.store.run(running).worker == "w2")
    fleet.state(running, "running")
    paused.send_signal(signal.SIGCONT)
    fleet.wait(lambda: fleet.is_ready("w1", paused, since))
    assert fleet.store.run(running).worker == "w2"
    fleet.engine.cancel(running)
    fleet.state(running, "cancelled")
    never_twice_at_once(fleet, running, starts=2)
    assert "starts anew" in (fleet.data / "w1.log").read_text()


def test_a_stopped_supervisor_gives_its_run_to_the_next_without_counting_a_crash(
    fleet: Any,
) -> None:
    stopping = fleet.start("w1")
    run_id = fleet.submit(**LONG)
    fleet.state(run_id, "running")
    stopping.terminate()
    assert stopping.wait(timeout=30) == 0
    assert fleet.store.run(run_id).state == "interrupted"
    assert not fleet.computes()
    assert [w.alive for w in fleet.store.workers()] == [False]
    fleet.start("w2")
    assert fleet.state(run_id, "done").worker == "w2"
    never_twice_at_once(fleet, run_id, starts=2)
    with fleet.store.database.read() as session:
        assert session.execute(sa.text("SELECT max(crashes) FROM runs")).scalar() == 0


def test_a_run_that_kills_every_supervisor_is_failed_in_the_end(fleet: Any) -> None:
    supervisor = fleet.start()
    run_id = fleet.submit(hang=True)
    fleet.compute_of(run_id)
    with fleet.store.database.write() as session:
        session.execute(sa.update(Run).values(crashes=2))
    supervisor.kill()
    supervisor.wait()
    fleet.start()
    assert "died 3 times" in fleet.state(run_id, "failed").message


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
    for earlier, later in pairwise(pids):
        assert max(beats[earlier]) < min(beats[later]), notes
    assert time.monotonic() > notes[-1]["time"]

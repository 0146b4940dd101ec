"""Processes are killed and paused for real: nothing is lost, nothing is computed twice at once."""

import json
import signal
import time
from collections import deque
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from worker.contract.errors import UserError
from worker.contract.secret_files import SECRETS
from worker.contract.settings import WRONG_SETTINGS, Settings
from worker.engine import supervisor as supervising
from worker.engine.facing import Place
from worker.engine.staying import Stay
from worker.engine.supervisor import HELD, Supervisor
from worker.engine.timing import Timing
from worker.store.attempts import Adopted
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


def test_a_worker_whose_time_is_up_hands_its_run_back_and_takes_no_other(fleet: Any) -> None:
    running = fleet.submit(steps=100_000, pause=0.05)
    waiting = fleet.submit()
    ending = fleet.launch("w1", options=["--max-time", "20s"])
    assert ending.wait(timeout=120) == 0
    assert "its time of 20 s is" in (fleet.data / "w1.log").read_text()
    records = [fleet.store.run(run_id) for run_id in (running, waiting)]
    # On a slow machine its time may be up before it began anything.
    assert (records[0].state, records[0].attempt) in (("interrupted", 1), ("queued", 0))
    assert (records[1].state, records[1].attempt) == ("queued", 0)
    assert not fleet.computes() and [w.alive for w in fleet.store.workers()] == [False]
    fleet.start("w2")
    fleet.wait(lambda: fleet.store.run(running).worker == "w2")
    fleet.engine.cancel(running)
    assert fleet.state(waiting, "done").worker == "w2"
    with fleet.store.database.read() as session:
        assert session.execute(sa.text("SELECT max(crashes) FROM runs")).scalar() == 0


def test_a_worker_with_nothing_to_do_ends_by_itself_after_what_it_has(fleet: Any) -> None:
    run_id = fleet.submit(steps=80, pause=0.05)
    chosen = {"LETHE_LOG": "json"}
    ending = fleet.launch("w1", options=["--exit-when-idle", "3s"], settings=chosen)
    assert ending.wait(timeout=120) == 0
    assert fleet.store.run(run_id).state == "done", "one that is longer than the wait is not idle"
    said = [json.loads(line) for line in (fleet.data / "w1.log").read_text().splitlines()]
    assert "w1 ends: nothing was to do for 3 s" in [line["message"] for line in said]


def test_a_drained_worker_ends_after_its_run_and_the_next_of_its_name_is_paused(
    fleet: Any,
) -> None:
    draining = fleet.start("w1")
    running = fleet.submit(**LONG)
    fleet.state(running, "running")
    fleet.store.halt("w1", "drained", "ada")
    waiting = fleet.submit()
    assert draining.wait(timeout=120) == 0
    record = fleet.store.run(running)
    assert (record.state, record.attempt) == ("done", 1), "what it computed, it finished"
    assert "w1 ends: it was drained, and its run is done" in (fleet.data / "w1.log").read_text()
    paused = fleet.start("w1")
    other = fleet.start("w2")
    assert fleet.state(waiting, "done").worker == "w2"
    other.terminate()
    other.wait()
    last = fleet.submit()
    fleet.wait(lambda: "w1 is drained by ada" in fleet.store.run(last).hindrance)
    assert paused.poll() is None
    assert fleet.store.run(last).state == "queued"
    fleet.store.resume("w1")
    assert fleet.state(last, "done").worker == "w1"


def test_a_length_of_time_that_is_none_ends_it_with_a_sentence(fleet: Any) -> None:
    ending = fleet.launch("w1", options=["--max-time", "230"])
    assert ending.wait(timeout=60) == WRONG_SETTINGS
    assert "--max-time is '230'; expected a length" in (fleet.data / "w1.log").read_text()


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


class Heard:
    """Stands for anything: keeps which of its methods were called with what."""

    def __init__(self, **fields: Any) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        return lambda *given, **named: self.calls.append((name, *given, *named.items()))

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]


def alone(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> tuple[Any, list[float]]:
    """A supervisor that starts nothing, and a clock that the test sets."""
    now = [1000.0]
    monkeypatch.setattr(supervising.time, "monotonic", lambda: now[0])
    made: Any = Supervisor.__new__(Supervisor)
    slot = Heard(problem="", announcement="said")
    made.__dict__.update(
        id="w1", _generation="g", _runs=slot, _questions=slot, _slots=[slot], _lane=Heard(
            address="http://here", token="t"
        ),
        _store=Heard(drained=lambda worker: None), _runner=Heard(run_id="r1"), _takes_runs=False,
        _drained=False, _announced=deque(maxlen=1),
        _stay=Stay(),
        _timing=SimpleNamespace(beat=3.0, reap=10.0, lease=7.0),
        _last={"halt": 0.0, "reap": 0.0, "forget": 1000.0},
    )  # fmt: skip
    made.__dict__.update(fields)
    return made, now


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_lane_looks_at_what_runs_keep_only_where_another_process_computes_them(
    lanes: int, tmp_path: Path
) -> None:
    chosen = Settings(data=tmp_path, lanes=lanes)
    made = Supervisor(chosen, "w1", "worker.run", Timing(), Place("127.0.0.1", "127.0.0.1"))
    own = made._questions is made._runs
    assert own == (lanes == 1) and made._slots == [made._runs, made._questions][:lanes]
    assert made._lane._slot is made._questions
    assert made._lane._runs is (None if own else made._runs)
    made._lane.close()
    for slot in made._slots:
        slot.close()
    made._store.close()


def test_runs_are_taken_once_announced_and_handed_while_a_process_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, _ = alone(monkeypatch, _last=dict.fromkeys(("halt", "reap", "forget"), 1000.0))
    jobs: Any = Heard()
    made._runs.announcement = None
    made._look_after(jobs)
    assert jobs.calls == [] and made._runs.names() == ["keep_warm"]
    assert made._lane.names() == ["keep_up", "end_stuck"]
    made._runs.announcement = "said"
    made._look_after(jobs)
    made._look_after(jobs)
    assert jobs.names() == ["take", "hand", "hand"]
    made._runs.problem = "no device here"
    made._look_after(jobs)
    assert jobs.names() == ["take", "hand", "hand"]


def test_runs_and_jobs_are_looked_after_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    made, now = alone(monkeypatch, _takes_runs=True)
    jobs: Any = Heard()
    due: dict[float, list[str]] = {}
    for at in (1000.0, 1009.9, 1010.0, 1019.9, 1599.9, 1600.0, 1600.1):
        now[0] = at
        made._look_after(jobs)
        due[at] = [name for name in jobs.names() if name != "hand"]
        jobs.calls.clear()
    assert due == {
        1000.0: ["look_after"], 1009.9: [], 1010.0: ["look_after"], 1019.9: [],
        1599.9: ["look_after"], 1600.0: ["forget"], 1600.1: [],
    }  # fmt: skip


def test_an_announcement_is_written_with_its_facts_and_kept_until_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, _ = alone(monkeypatch)
    said: Any = SimpleNamespace(fact_sets=("a", "b"), announcement="menu")
    made._on_announced(SimpleNamespace(fact_sets=(), announcement="older"))
    made._on_announced(said)

    def away(*given: Any) -> None:
        raise ConnectionError

    made._store.announce = away
    with pytest.raises(ConnectionError):
        made._pass_on()
    assert list(made._announced) == [said], "it is written at the next look"
    del made._store.announce
    made._store.calls.clear()
    made._look_after(Heard())
    assert made._store.calls == [
        ("sync_bundled", "a"), ("sync_bundled", "b"), ("announce", "w1", "g", "menu")
    ]  # fmt: skip
    assert not made._announced
    made._on_announced(said)
    newer: Any = SimpleNamespace(fact_sets=(), announcement="newer")
    made._store.announce = lambda *given: made._on_announced(newer)
    made._pass_on()
    assert list(made._announced) == [newer], "one that came meanwhile is not lost"


def test_a_beat_tells_how_it_goes_and_leases_count_from_when_it_was_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, now = alone(monkeypatch)
    made._questions = Heard(problem="it fell")
    told: list[Any] = []

    def beat(*given: Any, **named: Any) -> None:
        now[0] += 5.0  # of a database that is slow
        told.append((given, named))

    made._store.beat = beat
    made._beat()
    assert told == [
        (
            ("w1", "g"),
            {"run": "r1", "problem": "it fell", "address": "http://here", "token": "t"},
        )
    ]
    assert made._runs.calls == [("renew", 1007.0)]
    made._runs.problem = "no device"
    made._beat()
    assert told[1][1]["problem"] == "no device"


@pytest.mark.parametrize("where", ["beat", "look", "study"])
def test_who_was_taken_for_dead_begins_anew(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = alone(monkeypatch, _takes_runs=True, _studies=set(), _engine=Heard(), _stop=None)
    begun: list[int] = []
    monkeypatch.setattr(Supervisor, "_restart", lambda self: begun.append(1))

    def adopted(*given: Any, **named: Any) -> None:
        assert where != "study" or made._studies == {"s1"}, "it is known while it is conducted"
        raise Adopted("w1")

    made._store.beat = adopted
    monkeypatch.setattr(supervising.Conductor, "carry_out", adopted)
    if where == "beat":
        made._beat()
    elif where == "look":
        made._look_after(Heard(hand=adopted))
    else:
        made._conduct("s1")
    assert begun == [1] and made._studies == set()


def test_an_id_that_a_live_process_holds_is_refused_by_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, _ = alone(monkeypatch, _settings=SimpleNamespace(device="cpu"))
    made._timing.stale = 12.5
    claims: list[Any] = []
    made._store.claim_worker = lambda *given: claims.append(given)
    made._claim()
    assert claims[0][:2] == ("w1", "g") and claims[0][3:5] == ("cpu", 12.5)
    made._store.claim_worker = lambda *given: {"pid": 77}
    with pytest.raises(UserError, match=r"'w1' \(process 77\).* wait 12\.5 s"):
        made._claim()


@pytest.mark.parametrize(("wrong", "code"), [("settings", WRONG_SETTINGS), ("Supervisor", HELD)])
def test_each_reason_not_to_begin_has_its_exit_code_and_words(
    wrong: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*given: Any) -> Any:
        raise UserError("It cannot be.")

    files: dict[str, Any] = {f"{name}_file": None for name in SECRETS}
    known = {"log": "text", "worker_host": "", "database": "sqlite:///x.db", "device": "cpu"}
    chosen = SimpleNamespace(**known, **files)
    monkeypatch.setattr(supervising, "keep_private", lambda: None)
    monkeypatch.setattr(supervising.logging, "basicConfig", lambda **given: None)
    monkeypatch.setattr(supervising, "settings", lambda: chosen)
    monkeypatch.setattr(supervising, wrong, refuse)
    with pytest.raises(SystemExit) as ended:
        supervising.main([])
    assert ended.value.code == code != 0 and capsys.readouterr().err == "It cannot be.\n"
    assert HELD == 3 != WRONG_SETTINGS

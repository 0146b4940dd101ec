"""`lethe worker …`, in this process, on a data folder of the test's own."""

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.cli.conftest import Call
from tests.worker.store.test_workers import claim, says
from worker.contract.settings import Settings
from worker.engine import supervisor
from worker.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Settings(data=tmp_path))
    claim(opened, "w1")
    opened.announce("w1", "of w1", says("cpu"))
    yield opened
    opened.close()


def test_a_worker_is_paused_drained_and_resumed_without_the_web(lethe: Call, store: Store) -> None:
    assert lethe("worker", "list")[1] == "w1  ready  computes nothing\n"
    code, said, _ = lethe("worker", "pause", "w1")
    assert code == 0 and "takes no new run until it is resumed" in said
    by = f"{getpass.getuser()} on the command line"
    listed = lethe("worker", "list")[1]
    assert f"w1  ready, paused by {by} since {store.halts()['w1'].at:%Y-%m-%d %H:%M} UTC" in listed
    lethe("worker", "drain", "w1")
    order = store.halts()["w1"]
    assert (order.what, order.by) == ("drained", by)
    assert lethe("worker", "resume", "w1")[:2] == (0, "w1 takes runs\n")
    assert store.halts() == {}
    told = [(entry.what, entry.about) for entry in store.audit()]
    assert told == [(f"{what} a worker", "worker w1") for what in ("resumed", "drained", "paused")]
    code, _, problem = lethe("worker", "pause", "w9")
    assert code == 2 and "No worker 'w9'. There are: w1." in problem
    assert len(store.audit()) == 3, "what was refused changed nothing"


def test_without_more_a_worker_is_started_with_what_is_given(
    lethe: Call, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(supervisor, "main", started.append)
    lethe("worker")
    lethe("worker", "--name", "w7", "--exit-when-idle", "10m", "--max-time", "3h50m")
    given = ["--name", "w7", "--exit-when-idle", "10m", "--max-time", "3h50m"]
    assert started == [[], given]
    lethe("worker", "list")
    assert len(started) == 2

"""`lethe queue …`, in this process, on a data folder of the test's own."""

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.cli.conftest import Call
from tests.worker.engine import fake_door
from worker.contract.selection import FactsSpec
from worker.contract.settings import Settings
from worker.contract.spec import LocalizeSpec
from worker.engine.client import Engine

SPEC = LocalizeSpec(facts=FactsSpec(set="tiny"), method="fake")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = Engine.open(Settings(data=tmp_path))
    (tmp_path / "computes").mkdir()
    for name in ("w1", "w2"):
        opened.store.claim_worker(name, f"of {name}", {}, name, 60.0, lambda holder: False)
        said = fake_door.menu(Settings(data=tmp_path, device=name))
        opened.store.announce(name, f"of {name}", said)
    yield opened
    opened.close()


def test_runs_that_wait_are_listed_moved_and_cancelled_without_the_web(
    lethe: Call, engine: Engine
) -> None:
    first = engine.submit(SPEC, owner="max", title="First")
    second = engine.submit(SPEC, title="Second", priority=99)
    listed = lethe("queue", "list")[1]
    assert listed == f"{first}  queued of max  First\n{second}  queued  Second\n"
    assert lethe("queue", "move", second, "w2")[1] == f"run {second} waits for w2\n"
    assert engine.store.run(second).moved_to == "w2"
    by = f"{getpass.getuser()} on the command line"
    assert f"Moved to w2 by {by}." in engine.store.log(second)
    engine.store.halt("w2", "paused", "ada")
    listed = lethe("queue", "list")[1]
    assert "queued, for w2  Second  (It was moved to the worker w2, which is paused by" in listed
    assert lethe("queue", "move", second)[1] == f"run {second} waits for any worker that can\n"
    code, _, problem = lethe("queue", "move", second, "w9")
    assert code == 2 and "No worker that is alive and ready 'w9'" in problem
    assert lethe("queue", "cancel", first)[1] == f"run {first} is cancelled\n"
    assert "is cancelled already" in lethe("queue", "cancel", first)[1]
    assert lethe("queue", "cancel", "nothing")[0] == 2
    told = [(entry.what, entry.about) for entry in engine.store.audit()]
    assert told == [
        ("cancelled a run", f"run {first}"),
        ("moved a run", f"run {second} to any worker"),
        ("moved a run", f"run {second} to w2"),
    ]

"""The compute process alone: what it says first, and what ends it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from worker.contract.menu import Announcement, ModelInfo
from worker.contract.settings import Settings
from worker.engine import compute as engine_compute
from worker.engine.wire import Announced, Lease, decode_from_compute, encode

FOLDER = Path(__file__).parent


@pytest.fixture
def compute(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "worker.engine.compute", "--door", "fake_door"]
    process = subprocess.Popen(
        [*command, "--parent", str(os.getpid()), "--lease", "120"],
        env=os.environ
        | {"LETHE_DATA": str(tmp_path), "LETHE_DEVICE": "cpu", "PYTHONPATH": f".:{FOLDER}"},
        cwd=FOLDER.parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def test_it_announces_first_and_prints_of_libraries_go_to_the_log(
    compute: subprocess.Popen[bytes],
) -> None:
    first = decode_from_compute(compute.stdout.readline())
    assert isinstance(first, Announced)
    assert first.announcement.device == "cpu"
    assert [fact_set.name for fact_set in first.fact_sets] == ["tiny"]
    compute.stdin.close()
    assert b"a library prints" in compute.stderr.read()


def test_it_ends_when_its_pipe_is_closed(compute: subprocess.Popen[bytes]) -> None:
    compute.stdout.readline()
    compute.stdin.close()
    assert compute.wait(timeout=30) == 1


def test_it_is_ended_by_the_kernel_when_its_lease_runs_out(
    compute: subprocess.Popen[bytes],
) -> None:
    compute.stdout.readline()
    compute.stdin.write(encode(Lease(until=time.monotonic() + 0.3)))
    compute.stdin.flush()
    assert compute.wait(timeout=30) == -signal.SIGALRM


def test_it_does_not_begin_when_its_parent_is_already_gone() -> None:
    command = [sys.executable, "-m", "worker.engine.compute", "--parent", "1", "--lease", "120"]
    ended = subprocess.run(command, cwd=FOLDER.parents[2], stdin=subprocess.DEVNULL, timeout=60)
    assert ended.returncode == 1


class SlowDoor(ModuleType):
    """A door that lists the models of a data folder; `meanwhile` happens when it has looked."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__("slow_door")
        self._meanwhile = meanwhile

    def look(self, chosen: Settings) -> tuple[tuple[str, str], ...]:
        found = sorted(chosen.own_models.glob("*/config.json"))
        return tuple((one.parent.name, one.read_text()) for one in found)

    def announce(self, chosen: Settings) -> Announcement:
        found = self.look(chosen)
        self._meanwhile()
        models = tuple(ModelInfo(id=id, title=title) for id, title in found)
        return Announcement(methods=(), models=models, fact_sets=(), device="cpu")

    def bundled_fact_sets(self) -> list[Any]:
        return []


def bring(folder: Path, title: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(title)


@pytest.mark.parametrize(
    ("meanwhile", "then"),
    [
        (lambda models: bring(models / "new", "n"), {"new": "n", "old": "damaged"}),
        (lambda models: shutil.rmtree(models / "old"), {}),
        (lambda models: (models / "old").rename(models / "other"), {"other": "damaged"}),
        (lambda models: bring(models / "old", "mended"), {"old": "mended"}),
        (lambda models: None, {"old": "damaged"}),
    ],
    ids=["added", "removed", "renamed", "mended", "nothing"],
)
def test_what_happens_to_models_while_they_are_listed_is_announced_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: Any, then: dict[str, str]
) -> None:
    chosen = Settings(data=tmp_path, device="cpu")
    monkeypatch.setattr(engine_compute, "settings", lambda: chosen)
    bring(chosen.own_models / "old", "damaged")
    told: list[Announced] = []
    pipe: Any = SimpleNamespace(send=told.append)
    models = SimpleNamespace(held=())

    def said() -> dict[str, str]:
        return {one.id: one.title for one in told[-1].announcement.models}

    door = SlowDoor(lambda: meanwhile(chosen.own_models))
    known = engine_compute.announce(door, models, pipe)
    assert said() == {"old": "damaged"}
    assert (engine_compute.what_models(door, models) != known) == (then != said())

    door = SlowDoor(lambda: None)
    known = engine_compute.announce(door, models, pipe)
    assert said() == then
    assert engine_compute.what_models(door, models) == known, "it is announced once"

"""The compute process alone: what it says first, and what ends it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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

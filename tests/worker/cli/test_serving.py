"""Processes that die are started again, and one that cannot live ends everything with a code."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from worker.cli.serving import Kept, Pauses, keep

ROOT = Path(__file__).parents[3]
SHORT = Pauses(first=0.05, longest=0.2, healthy=600.0, tries=4)
LIVES = "import time; time.sleep(600)"


def kept(name: str, code: str, pauses: Pauses = SHORT) -> Kept:
    return Kept(name, [sys.executable, "-c", code], pauses)


def until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(0.05)
    return value


def test_pauses_double_up_to_the_longest() -> None:
    pauses = Pauses(first=1.0, longest=60.0)
    assert [pauses.before(n) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_process_that_always_dies_is_given_up_with_its_code_and_the_others_are_stopped(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    dies = kept("The worker", f"open({str(tmp_path / 'n')!r}, 'a').write('x'); exit(7)")
    lives = kept("The web server", LIVES)
    with caplog.at_level(logging.ERROR):
        assert keep([lives, dies], threading.Event()) == 7
    assert (tmp_path / "n").read_text() == "x" * SHORT.tries
    assert "ended with code 7; it is started again in 0.05 s" in caplog.text
    assert "4 times in a row" in caplog.text
    assert not [p for p in psutil.Process().children() if LIVES in p.cmdline()]


@pytest.mark.parametrize(("dies", "code"), [("exit(0)", 1), ("import os; os.abort()", 1)])
def test_what_ends_without_a_code_of_its_own_is_given_up_with_code_1(dies: str, code: int) -> None:
    assert keep([kept("The worker", dies)], threading.Event()) == code


def test_wrong_settings_are_given_up_at_once(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    wrong = kept("The worker", f"open({str(tmp_path / 'n')!r}, 'a').write('x'); exit(2)")
    assert keep([wrong], threading.Event()) == 2
    assert (tmp_path / "n").read_text() == "x"
    assert "another start would not help" in caplog.text


def test_a_process_that_lived_for_a_while_is_never_given_up(tmp_path: Path) -> None:
    count = tmp_path / "n"
    often = Pauses(first=0.01, longest=0.01, healthy=0.0, tries=2)
    stop = threading.Event()
    code = f"open({str(count)!r}, 'a').write('x')"
    threading.Thread(
        target=lambda: (
            until(lambda: count.exists() and len(count.read_text()) >= 4),
            stop.set(),
        )
    ).start()
    assert keep([kept("The worker", code, often)], stop) == 0
    assert len(count.read_text()) >= 4


def test_a_process_that_ignores_the_signal_is_killed() -> None:
    deaf = kept("Deaf", f"import signal; signal.signal(15, signal.SIG_IGN); print(1); {LIVES}")
    deaf.look_after()
    [process] = [p for p in psutil.Process().children() if LIVES in p.cmdline()[-1]]
    deaf.stop()
    deaf.wait(0.1)
    assert not process.is_running()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """`lethe serve` in a fresh folder, with its pages' address and its log."""
    log = tmp_path / "log"
    environment = os.environ | {"LETHE_DATA": str(tmp_path), "LETHE_PORT": "0", "LETHE_LANES": "1"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.cli.main", "serve"],
            env=environment,
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        line = until(lambda: [w for w in log.read_text().split() if "/?token=" in w])[0]
        yield process, line.partition("/?token=")[0], log
    finally:
        process.terminate()
        process.wait(timeout=60)


def part(process: subprocess.Popen[bytes], module: str) -> psutil.Process | None:
    """The child of `lethe serve` that runs a module."""
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie is one
            if module in child.cmdline():
                return child
    return None


@pytest.mark.slow
def test_a_killed_worker_comes_back_while_the_pages_stay_up(
    served: tuple[subprocess.Popen[bytes], str, Path],
) -> None:
    process, address, log = served
    worker = until(lambda: part(process, "worker.engine.supervisor"))
    web = part(process, "app")
    assert web is not None
    worker.send_signal(signal.SIGKILL)

    def another() -> psutil.Process | None:
        """The killed one can still be seen for a moment."""
        found = part(process, "worker.engine.supervisor")
        return found if found is not None and found.pid != worker.pid else None

    until(another)
    assert httpx.get(f"{address}/healthz").json()["status"]
    assert web.is_running() and process.poll() is None
    assert f"The worker (process {worker.pid}) was ended by signal 9" in log.read_text()


@pytest.mark.slow
def test_nothing_is_left_over_when_serve_itself_is_killed(
    served: tuple[subprocess.Popen[bytes], str, Path],
) -> None:
    process, _, _ = served
    parts = [until(lambda m=m: part(process, m)) for m in ("app", "worker.engine.supervisor")]
    process.kill()
    _, alive = psutil.wait_procs(parts, timeout=60)
    assert not alive


def serve_once(**environment: str) -> subprocess.CompletedProcess[str]:
    """`lethe serve` that is expected to end by itself."""
    command = [sys.executable, "-m", "worker.cli.main", "serve"]
    given = os.environ | environment
    return subprocess.run(
        command, env=given, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_wrong_setting_is_said_and_ends_with_a_code(tmp_path: Path) -> None:
    done = serve_once(LETHE_DATA=str(tmp_path), LETHE_PORT="-1")
    assert done.returncode == 2
    assert "LETHE_PORT is '-1'" in done.stderr and "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said_once_and_ends_with_a_code(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = serve_once(LETHE_DATA=str(tmp_path), LETHE_PORT=port)
    assert done.returncode == 2
    assert done.stderr.count(f"cannot listen on 127.0.0.1:{port}") == 1
    assert "Traceback" not in done.stderr


def test_compose_makes_a_shared_server_that_needs_no_login_token() -> None:
    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    environment = services["app"]["environment"]
    assert environment["LETHE_SHARED"] == "1" and "LETHE_TOKEN" not in environment
    assert services["worker"]["environment"] == environment


def test_compose_starts_every_service_again() -> None:
    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    assert {name: one.get("restart") for name, one in services.items()} == dict.fromkeys(
        ("postgres", "app", "worker"), "unless-stopped"
    )

"""Real supervisors over a fresh database: SQLite always, Postgres where a URL of one is given.

A fresh database is a copy of one that was migrated once, which takes a tenth of the migrations.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from worker.contract.facts import Fact, FactSet
from worker.contract.progress import FINAL_STATES
from worker.contract.records import RunRecord
from worker.contract.selection import FactsSpec
from worker.contract.settings import Settings
from worker.contract.spec import LocalizeSpec
from worker.engine.client import Engine
from worker.engine.queue import prepare
from worker.store.store import Store

ROOT = Path(__file__).parents[3]
POSTGRES = os.environ.get("LETHE_TEST_POSTGRES_URL", "")
TIMING = {"poll": 0.1, "beat": 0.2, "lease": 8.0, "stale": 10.0, "grace": 2.0, "reap": 0.25}
TIMING["respawn"] = 0.5
LOCK_WAIT = "-c lock_timeout=200"
DATABASES = [
    "sqlite",
    pytest.param(
        "postgres",
        marks=pytest.mark.skipif(
            not POSTGRES,
            reason="LETHE_TEST_POSTGRES_URL is not set; would do the same on Postgres",
        ),
    ),
]


Fresh = Callable[[str, Path], AbstractContextManager[Settings]]


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    """Give settings of a database of one kind that has all tables, and nothing in them."""
    with ExitStack() as opened:

        @cache
        def migrated(database: str) -> Settings:
            folder = tmp_path_factory.mktemp("migrated")
            made = opened.enter_context(fresh_settings(database, folder))
            store = Store.open(made)
            prepare(store.database)
            store.close()
            return made

        @contextmanager
        def make(database: str, folder: Path) -> Iterator[Settings]:
            model = migrated(database)
            if database == "sqlite":
                shutil.copy(model.data / "lethe.sqlite", folder)
            with fresh_settings(database, folder, model) as made:
                yield made

        yield make


@contextmanager
def fresh_settings(database: str, folder: Path, like: Settings | None = None) -> Iterator[Settings]:
    if database == "sqlite":
        yield Settings(data=folder, device="cpu")
        return
    name = f"lethe_{uuid4().hex[:8]}"
    server = sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    template = f" TEMPLATE {sa.make_url(like.database_url).database}" if like else ""
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}{template}")
    url = sa.make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    yield Settings(data=folder, device="cpu", database_url=url)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture(params=DATABASES)
def chosen(request: pytest.FixtureRequest, tmp_path: Path, fresh: Fresh) -> Iterator[Settings]:
    with fresh(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def engine(chosen: Settings) -> Iterator[Engine]:
    opened = Engine.open(chosen)
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path, fresh: Fresh) -> Iterator[Store]:
    """A store on SQLite with one fact set of three athletes."""
    with fresh("sqlite", tmp_path) as made:
        opened = Store.open(made)
        facts = tuple(
            Fact(id=f"f{i}", subject="S", prompt="{} plays", target=sport, group=sport)
            for i, sport in enumerate(("golf", "tennis", "tennis"))
        )
        opened.save_fact_set(FactSet(name="sports", facts=facts))
        yield opened
        opened.close()


class Fleet:
    """Starts supervisors, and ends them and all that they started."""

    def __init__(self, chosen: Settings, engine: Engine) -> None:
        self.data, self.engine, self.store = chosen.data, engine, engine.store
        waits = {"timeout": 0.2} if self.store.database.is_sqlite else {"options": LOCK_WAIT}
        self._impatient = sa.create_engine(self.store.database.url, connect_args=waits)
        self._started: list[subprocess.Popen[str]] = []
        self.environment = os.environ | {
            "LETHE_DATA": str(chosen.data),
            "LETHE_DATABASE_URL": chosen.database_url,
            "LETHE_DEVICE": "cpu",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}",
        }

    def enable(self, name: str, **able: Any) -> None:
        """Say what a worker can do, before or after it is started (`fake_door`)."""
        folder = self.data / "able"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.new").write_text(json.dumps(able))
        (folder / f"{name}.new").rename(folder / name)

    def launch(
        self,
        name: str = "w1",
        lanes: int = 1,
        within: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        **timing: float,
    ) -> subprocess.Popen[str]:
        """Start a supervisor and do not wait for it; `within` is a command that runs it."""
        command = [*within, sys.executable, "-m", "worker.engine.supervisor", "--door", "fake_door"]
        command += ["--name", name, "--timing", json.dumps(TIMING | timing), *options]
        own = {"LETHE_LANES": str(lanes), "LETHE_DEVICE": name, **(settings or {})}
        with (self.data / f"{name}.log").open("a") as log:
            process = subprocess.Popen(command, env=self.environment | own, stderr=log, text=True)
        self._started.append(process)
        return process

    def start(self, name: str = "w1", lanes: int = 1, **more: Any) -> subprocess.Popen[str]:
        """Start a supervisor and wait until it takes runs."""
        since = time.time()
        process = self.launch(name, lanes, **more)
        self.wait(lambda: self.is_ready(name, process, since))
        return process

    def is_ready(self, name: str, process: subprocess.Popen[str], since: float) -> bool:
        """Whether a worker that began after `since` takes runs."""
        assert process.poll() is None, (self.data / f"{name}.log").read_text()
        ready = [w for w in self.store.workers() if w.id == name and w.ready]
        return any(w.started.timestamp() >= since for w in ready)

    def pause(self, process: subprocess.Popen[str]) -> None:
        """Stop a process in its tracks, though not while it holds a lock of the database.

        A signal only asks: threads that are in the kernel may yet take the lock there, so it is
        tried when all of them stand still.
        """
        while True:
            process.send_signal(signal.SIGSTOP)
            self.wait(lambda: _stands_still(process.pid))
            try:
                with self._impatient.begin() as connection:
                    connection.execute(sa.text("UPDATE workers SET id = id"))
                    connection.execute(sa.text("UPDATE runs SET id = id"))
                return
            except sa.exc.OperationalError:
                process.send_signal(signal.SIGCONT)
                time.sleep(0.1)

    def computes(self) -> list[int]:
        """Pids of the compute processes that live now."""
        folder = self.data / "computes"
        pids = [int(path.name) for path in folder.iterdir()] if folder.exists() else []
        return [pid for pid in pids if _is_running(pid)]

    def submit(self, **options: Any) -> str:
        """Submit a run that the fake door computes as its options say."""
        return self.engine.submit(self.spec(**options))

    def spec(self, model: str = "demo", method: str = "fake", **options: Any) -> LocalizeSpec:
        facts = FactsSpec(set="tiny", forget="first:1")
        return LocalizeSpec(model=model, facts=facts, method=method, options=options)

    def state(self, run_id: str, *wanted: str, seconds: float = 120) -> RunRecord:
        """Wait until a run is in one of the states."""

        def reached() -> RunRecord | None:
            record = self.store.run(run_id)
            over = record.state in FINAL_STATES and record.state not in wanted
            assert not over, f"{record.state}: {record.message}"
            return record if record.state in wanted else None

        found: RunRecord = self.wait(reached, seconds)
        return found

    def notes(self, run_id: str) -> list[dict[str, Any]]:
        """What the fake door wrote of a run: its starts and ends."""
        path = self.data / "starts" / run_id
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def starts(self, run_id: str) -> int:
        return sum(note["what"] == "start" for note in self.notes(run_id))

    def compute_of(self, run_id: str) -> int:
        """Wait until a run is computed, and return the pid of its compute process."""
        notes: list[dict[str, Any]] = self.wait(lambda: self.notes(run_id))
        return int(notes[-1]["pid"])

    @staticmethod
    def wait(until: Callable[[], Any], seconds: float = 120.0) -> Any:
        """Wait until something holds, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := until()):
            assert time.monotonic() < deadline, f"did not happen within {seconds} s"
            time.sleep(0.02)
        return found

    def stop(self) -> None:
        self._impatient.dispose()
        for process in self._started:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        for pid in self.computes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def fleet(chosen: Settings, engine: Engine) -> Iterator[Fleet]:
    started = Fleet(chosen, engine)
    yield started
    started.stop()


@contextmanager
def _module_fleet(fresh: Fresh, database: str, folder: Path) -> Iterator[Fleet]:
    with fresh(database, folder) as made:
        opened = Engine.open(made)
        started = Fleet(made, opened)
        try:
            yield started
        finally:
            started.stop()
            opened.close()


@pytest.fixture(scope="module", params=DATABASES)
def busy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fresh: Fresh
) -> Iterator[Fleet]:
    """One supervisor with two lanes for all tests of a module that leave it as it was."""
    with _module_fleet(fresh, request.param, tmp_path_factory.mktemp("busy")) as started:
        started.start(lanes=2, lease=30.0, stale=45.0)
        yield started


@pytest.fixture(scope="module", params=DATABASES)
def unlike(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fresh: Fresh
) -> Iterator[Fleet]:
    """Two supervisors that can do different things, for tests that leave them as they were."""
    with _module_fleet(fresh, request.param, tmp_path_factory.mktemp("unlike")) as started:
        of_small = {"demo": 1, "both": 1, "wide": 9}
        started.enable("small", models=of_small, methods=["fake", "probes"], memory=5)
        of_large = {"big": 1, "both": 1, "wide": 9}
        started.enable("large", models=of_large, methods=["fake", "other"], memory=50)
        started.launch("small", lease=30.0, stale=45.0)
        started.start("large", lease=30.0, stale=45.0)
        started.wait(lambda: len(started.store.menus()) == 2)
        yield started


def _is_running(pid: int) -> bool:
    try:
        return _state(Path(f"/proc/{pid}")) != "Z"
    except OSError:
        return False


def _stands_still(pid: int) -> bool:
    """Whether every thread of a process is stopped."""
    try:
        return all(_state(thread) == "T" for thread in Path(f"/proc/{pid}/task").iterdir())
    except OSError:  # one ended meanwhile
        return False


def _state(process: Path) -> str:
    """The kernel's letter for what a process or a thread does."""
    return (process / "stat").read_text().rpartition(")")[2].split()[0]

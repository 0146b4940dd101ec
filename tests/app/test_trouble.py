"""A database or disk that cannot be used: said for what it is, with 503, until it is over."""

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app import opening
from app.main import create_app
from worker.contract.settings import Settings
from worker.engine.client import Engine
from worker.store import database

TOKEN = "a-token-for-tests"
FORM = {
    "model": "demo",
    "facts.set": "sports",
    "facts.how": "first",
    "facts.n": "16",
    "seed": "0",
    "method": "causal_tracing",
    "options.of": "causal_tracing",
    "options.n_noises": "7",
    "options.sites": "mlp",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a lock for a moment only, and for an opening not at all."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(opening, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(opening, "LONGEST_PAUSE", 0.05)


@contextmanager
def held(settings: Settings) -> Iterator[None]:
    """Another program holds the database's lock."""
    with closing(sqlite3.connect(settings.data / "lethe.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def is_said(answer: Any, words: str) -> bool:
    """Whether a 503 says `words`, when to try again, and nothing of an incident."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert "incident" not in answer.text and "Content-Security-Policy" in answer.headers
    return words in answer.text.replace("&#39;", "'")


def test_a_locked_database_refuses_what_writes_and_shows_what_is_there(
    script: TestClient, client: TestClient, settings: Settings, spec: dict[str, Any]
) -> None:
    with held(settings):
        assert is_said(script.post("/api/runs", json=spec), "locked by another program")
        assert is_said(client.post("/localize", data=FORM), "locked by another program")
        assert client.get("/runs").status_code == 200
        assert client.get("/healthz").status_code == 200
    assert script.post("/api/runs", json=spec).status_code == 201


@pytest.mark.parametrize(
    ("wreck", "words"),
    [
        (lambda file: file.unlink(), "cannot be opened"),
        (lambda file: file.write_bytes(b"garbage" * 9999), "no SQLite database"),
        (lambda file: (file.unlink(), file.mkdir()), "cannot be opened"),
    ],
)
def test_a_database_that_is_taken_away_is_said_and_comes_back(
    client: TestClient, engine: Engine, settings: Settings, wreck: Any, words: str
) -> None:
    file, kept = settings.data / "lethe.sqlite", settings.data / "kept"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def let_go() -> None:
        engine.store.engine.dispose()
        engine.store.database.reader.dispose()
        for name in ("lethe.sqlite-wal", "lethe.sqlite-shm"):
            (settings.data / name).unlink(missing_ok=True)

    shutil.copy(file, kept)
    let_go()
    wreck(file)
    for path in ("/", "/runs", "/api/runs", "/healthz"):
        assert is_said(client.get(path), words), path
    let_go()
    shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
    shutil.copy(kept, file)
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "The disk is full"), (errno.EROFS, "can only be read")],
)
def test_a_disk_that_takes_no_upload_is_said(
    script: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def refuse(*given: Any) -> None:
        raise OSError(code, "", "/data/artifacts")

    monkeypatch.setattr(engine.store.artifacts, "put_bytes", refuse)
    files = {"file": ("facts.csv", b"subject,prompt,target\nAnn,{} plays,golf\n")}
    assert is_said(script.post("/api/facts", files=files, data={"name": "x"}), words)


def test_an_error_that_is_no_trouble_stays_a_bug(
    script: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*given: Any, **named: Any) -> None:
        raise FileNotFoundError(errno.ENOENT, "", "a file that must be there")

    monkeypatch.setattr(engine.store, "runs_page", lost)
    answer = script.get("/api/runs")
    assert answer.status_code == 500 and "incident" in answer.text


def test_a_server_starts_without_its_database_and_opens_it_when_it_comes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "lethe.sqlite").write_bytes(b"garbage" * 9999)
    app = create_app(Settings(data=data, token=TOKEN, host="127.0.0.1"))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        assert is_said(client.get("/healthz"), "no SQLite database")
        page = client.get(f"/?token={TOKEN}")
        assert is_said(page, "no SQLite database") and "<h1>Not now</h1>" in page.text
        (data / "lethe.sqlite").unlink()
        app.state.opening._thread.join(timeout=60)
        assert client.get("/").status_code == 200


def test_a_server_on_a_database_of_a_newer_lethe_says_so_and_does_not_start(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app import __main__ as server

    with closing(sqlite3.connect(settings.data / "lethe.sqlite")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    monkeypatch.setattr(server, "settings", lambda: settings)
    with pytest.raises(SystemExit) as ended:
        server.main()
    assert ended.value.code == 2
    assert "Install the newer Lethe" in capsys.readouterr().err

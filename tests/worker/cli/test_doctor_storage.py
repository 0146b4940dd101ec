"""What `lethe doctor` says of where things are kept."""

import builtins
import http.server
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from worker.cli.doctor_storage import (
    look_at_artifacts,
    look_at_database,
    look_at_folder,
    look_at_port,
    look_at_secrets,
)
from worker.contract.settings import Settings
from worker.store.migrate import newest
from worker.store.store import Store


def test_a_folder_is_written_to_and_closed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    assert look_at_folder(Settings(data=tmp_path / "data")).ok
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "data").iterdir()) == []


def test_a_folder_that_cannot_be_made_or_is_shared_has_its_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for data in (tmp_path / "file/data", tmp_path / "file"):
        found = look_at_folder(Settings(data=data))
        assert not found.ok and "LETHE_DATA" in found.cure, found
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    (tmp_path / "shared/letter").write_text("")
    assert "not Lethe's" in look_at_folder(Settings(data=tmp_path / "shared")).cure


def test_a_key_that_is_not_whole_and_a_short_token_are_named(tmp_path: Path) -> None:
    assert look_at_secrets(Settings(data=tmp_path, token="hard to guess")).ok
    given = tmp_path / "token"
    given.write_text("hard to guess\n", "utf-8")
    given.chmod(0o644)
    read_by_others = look_at_secrets(Settings(data=tmp_path, token_file=given))
    assert not read_by_others.ok and f"chmod 600 {given}" in read_by_others.what
    given.chmod(0o600)
    assert look_at_secrets(Settings(data=tmp_path, token_file=given)).ok
    short = look_at_secrets(Settings(data=tmp_path, token="geheim"))
    assert not short.ok and "6 characters" in short.what and "geheim" not in str(short)
    (tmp_path / "session.key").write_bytes(b"half")
    assert "4 of 32 bytes" in look_at_secrets(Settings(data=tmp_path)).what


def test_a_database_is_absent_old_new_or_of_this_revision(tmp_path: Path) -> None:
    chosen = Settings(data=tmp_path)
    assert "the first start makes it" in look_at_database(chosen).what
    assert not (tmp_path / "lethe.sqlite").exists()
    store = Store.open(chosen)
    assert f"revision {newest()})" in look_at_database(chosen).what
    for revision, ok, words in (
        ("0001", True, f"brings {newest()}"),
        ("9999", False, "knows up to"),
    ):
        with store.engine.begin() as connection:
            connection.execute(
                sa.text("UPDATE alembic_version SET version_num = :v"), {"v": revision}
            )
        found = look_at_database(chosen)
        assert (found.ok, words in found.what) == (ok, True), found
    store.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:geheim@127.0.0.1:1/x",
        "postgresql://me:ge%40heim@127.0.0.1:1/x?connect_timeout=2",
        "mysql://me:geheim@host/x",
        "nonsense://me:geheim@host",
        "no url with :geheim@",
    ],
)
def test_a_database_that_cannot_be_used_is_named_without_its_password(
    tmp_path: Path, url: str
) -> None:
    found = look_at_database(Settings(data=tmp_path, database_url=url))
    assert not found.ok
    assert "heim" not in str(found) or url.startswith("no url"), found


def test_a_store_whose_package_is_missing_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *given: Any, **named: Any) -> Any:
        if name.split(".")[0] in ("s3fs", "psycopg"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    found = look_at_artifacts(
        Settings(data=tmp_path, artifacts_url="s3://key:geheim@bucket/x?secret=geheim")
    )
    assert not found.ok and "pip install s3fs" in found.what
    assert "geheim" not in str(found)
    assert (
        "psycopg"
        in look_at_database(
            Settings(data=tmp_path, database_url="postgresql://me:geheim@127.0.0.1:1/x")
        ).what
    )


def test_artifacts_are_written_read_and_deleted(tmp_path: Path) -> None:
    assert look_at_artifacts(Settings(data=tmp_path)).ok
    assert not list(tmp_path.rglob("doctor/*"))
    for url in ("nonsense://x", f"file://{tmp_path}/file/x"):
        (tmp_path / "file").write_text("")
        found = look_at_artifacts(Settings(data=tmp_path, artifacts_url=url))
        assert not found.ok and found.cure, url


def test_a_port_that_is_taken_by_something_else_is_named(tmp_path: Path) -> None:
    class Other(http.server.BaseHTTPRequestHandler):
        body = b"<html>"

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *given: Any) -> None:
            """Nothing is to be read of it."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    chosen = Settings(data=tmp_path, port=server.server_port)
    found = look_at_port(chosen)
    assert not found.ok and "LETHE_PORT" in found.cure and os.strerror(98) in found.what
    Other.body = json.dumps({"status": "ok", "workers_ready": 0}).encode()
    assert look_at_port(chosen).ok
    server.shutdown()
    server.server_close()
    thread.join()
    assert look_at_port(chosen).what.endswith("free")

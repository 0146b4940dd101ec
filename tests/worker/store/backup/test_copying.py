"""Postgres' own programs: where they are looked for, and what they are given."""

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from worker.contract.errors import Unavailable, UserError
from worker.contract.settings import Settings
from worker.store.backup import copying
from worker.store.store import Store


def test_programs_of_postgres_that_are_missing_are_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(copying, "PLACES", str(tmp_path))
    with pytest.raises(UserError, match=r"needs its program pg_restore.*postgresql-client"):
        copying._program("pg_restore")
    for version in ("9", "15"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "pg_restore").touch()
    assert copying._program("pg_restore") == str(tmp_path / "15/bin/pg_restore")


def test_a_password_is_given_in_the_environment_and_not_as_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@"; test "$PGPASSWORD" = s@crit || exit 1\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    copying._postgres("pg_dump", sa.make_url("postgresql+psycopg://ann:s%40crit@host:1/x"))
    program.write_text('#!/bin/sh\necho "$@" >&2; exit 1\n')
    url = sa.make_url("postgresql+psycopg://ann:s%40crit@host:1/x")
    with pytest.raises(Unavailable, match=r"its work: .* --dbname=postgresql://ann@host:1/x$"):
        copying._postgres("pg_dump", url)


def test_a_copy_that_is_put_back_holds_what_was_there_and_nothing_of_what_was_in_its_place(
    chosen: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    dumped, url = tmp_path / "dumped", sa.make_url(elsewhere.database)
    store = Store.open(chosen)
    store.note("ada", "did", "before", "")
    copying.dump(store.database, dumped)
    store.note("ada", "did", "after", "")
    store.close()
    assert dumped.stat().st_mode & 0o077 == 0 or not store.database.is_sqlite
    assert not copying.holds_tables(url)
    other = Store.open(elsewhere)
    other.note("bob", "did", "what goes", "")
    is_sqlite = other.database.is_sqlite
    if not is_sqlite:
        with other.engine.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS dbos"))
            connection.execute(sa.text("CREATE TABLE dbos.left_over (id int)"))
    other.close()
    assert copying.holds_tables(url) and not copying.is_used(url)
    if is_sqlite:
        path = Path(url.database or "")
        for ending in ("wal", "shm"):
            path.with_name(f"{path.name}-{ending}").write_bytes(b"of another database")
    copying.load(dumped, url)
    again = Store.open(elsewhere)
    assert [entry.about for entry in again.audit()] == ["before"]
    if not is_sqlite:
        with again.engine.connect() as connection:
            assert not sa.inspect(connection).has_table("left_over", schema="dbos")
    again.close()
    if is_sqlite:
        assert not list(path.parent.glob(f".{path.name}*"))


def test_an_empty_file_holds_nothing_and_a_failed_copy_leaves_no_part(
    tmp_path: Path,
) -> None:
    path = tmp_path / "there" / "lethe.sqlite"
    url = sa.URL.create("sqlite", database=str(path))
    assert not copying.holds_tables(url)
    with pytest.raises(FileNotFoundError):
        copying.load(tmp_path / "missing", url)
    assert list(path.parent.iterdir()) == []
    path.touch()
    assert not copying.holds_tables(url)
    path.write_bytes(b"x")
    assert copying.holds_tables(url)

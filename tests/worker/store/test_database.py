"""One database for many threads and processes, and which URLs name one."""

import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from worker.contract.errors import UserError
from worker.store.database import BUSY_SECONDS, Database, parse_url


@pytest.fixture
def database(tmp_path: Path):
    made = Database(f"sqlite:///{tmp_path}/deep/er/lethe.sqlite")
    with made.write() as session:
        session.execute(sa.text("CREATE TABLE one (n INTEGER PRIMARY KEY)"))
        session.execute(sa.text("CREATE TABLE other (n INTEGER REFERENCES one (n))"))
    yield made
    made.close()


def count(database: Database) -> int | None:
    with database.read() as session:
        return session.scalar(sa.text("SELECT count(*) FROM one"))


INSERT = sa.text("INSERT INTO one DEFAULT VALUES")


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:////tmp/a.sqlite", "sqlite"),
        ("postgresql://u:p@h/n", "postgresql+psycopg"),
        ("postgresql+psycopg2://u:p@h/n", "postgresql+psycopg"),
    ],
)
def test_a_sqlite_file_and_postgres_are_databases(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "'nonsense' is no database URL; expected sqlite:///PATH or"),
        ("sqlite://", "cannot be used; expected a SQLite file"),
        ("sqlite:///:memory:", "cannot be used; expected a SQLite file"),
        ("postgresql://u:my@secret@h/n", r"u:\*\*\*@h/n' has more than one @.*%40"),
        ("postgresql://u:a:b@secret@127.0.0.1:1/n", "more than one @"),
        ("mysql://u:secret@h/n", r"mysql://u:\*\*\*@h/n cannot be used"),
    ],
)
def test_another_url_is_refused_without_its_password(url: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        parse_url(url)
    assert caught.value.problems[0][0] == "database_url"
    assert "secret" not in caught.value.message


def test_a_file_is_made_for_its_owner_alone_with_a_log_that_readers_do_not_wait_for(
    database: Database, tmp_path: Path
) -> None:
    assert database.is_sqlite
    file = tmp_path / "deep/er/lethe.sqlite"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with database.read() as session:
        said = {
            name: session.scalar(sa.text(f"PRAGMA {name}"))
            for name in ("journal_mode", "busy_timeout", "synchronous", "foreign_keys")
        }
    assert said == {
        "journal_mode": "wal",
        "busy_timeout": 1000 * BUSY_SECONDS,
        "synchronous": 1,
        "foreign_keys": 1,
    }


def test_what_a_block_writes_is_kept_whole_or_not_at_all(database: Database) -> None:
    with database.write() as session:
        session.execute(INSERT)
    with pytest.raises(ZeroDivisionError), database.write() as session:
        session.execute(INSERT)
        _ = 1 // 0
    with database.read() as session:
        session.execute(INSERT)
    assert count(database) == 1, "what is written while reading is not kept"
    with pytest.raises(sa.exc.IntegrityError), database.write() as session:
        session.execute(sa.text("INSERT INTO other VALUES (99)"))


def test_a_reader_goes_on_beside_a_writer_and_sees_one_snapshot(database: Database) -> None:
    with database.write() as writing:
        writing.execute(INSERT)
        assert count(database) == 0
    with database.read() as reading:
        seen = sa.text("SELECT count(*) FROM one")
        assert reading.scalar(seen) == 1
        with database.write() as writing:
            writing.execute(INSERT)
        assert reading.scalar(seen) == 1
    assert count(database) == 2


def test_one_thread_at_a_time_checks_and_writes(database: Database) -> None:
    """Each takes the largest number and writes the next: two that did so at once would collide."""

    def work() -> None:
        for _ in range(20):
            with database.write() as session:
                database.lock(session, "numbers")
                last = session.scalar(sa.text("SELECT coalesce(max(n), 0) FROM one"))
                session.execute(sa.text("INSERT INTO one VALUES (:n)"), {"n": last + 1})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(database) == 80


def test_a_look_inside_a_write_keeps_other_writers_out(database: Database) -> None:
    """So that a check and a write are one, between processes too: another connection waits."""
    other = sa.create_engine(database.url, connect_args={"timeout": 0})
    with database.write() as session, other.connect() as connection:
        session.scalar(sa.text("SELECT count(*) FROM one"))
        with pytest.raises(sa.exc.OperationalError, match="locked"):
            connection.execute(INSERT)
    other.dispose()


@pytest.mark.parametrize("is_reader", [True, False])
def test_a_file_that_was_taken_away_is_written_to_no_more_and_not_made_anew(
    database: Database, is_reader: bool
) -> None:
    file = Path(database.url.database or "")
    kept = file.rename(file.with_name("kept"))
    with pytest.raises(sa.exc.OperationalError, match="unable to open"):
        if is_reader:
            count(database)
        else:
            with database.write() as session:
                session.execute(INSERT)
    assert not file.exists()
    kept.rename(file)
    assert count(database) == 0


def test_a_backup_that_is_put_in_the_files_place_is_what_is_read(database: Database) -> None:
    file = Path(database.url.database or "")
    with closing(sqlite3.connect(file)) as plain, closing(sqlite3.connect(f"{file}.new")) as copy:
        plain.backup(copy)
    with database.write() as session:
        session.execute(INSERT)
    assert count(database) == 1
    for name in ("-wal", "-shm"):
        Path(f"{file}{name}").unlink(missing_ok=True)
    Path(f"{file}.new").replace(file)
    assert count(database) == 0

"""What is wrong with disk and database is said for what it is, from errors that were really met."""

import errno
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from safetensors import SafetensorError
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from worker.contract.disk import disk_trouble
from worker.contract.errors import NotFound, Unavailable, UserError
from worker.contract.settings import Settings
from worker.store.store import Store
from worker.store.trouble import said, trouble


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Settings(data=tmp_path))
    yield opened
    opened.close()


def met(act: Any) -> Exception:
    with pytest.raises(Exception) as raised:
        act()
    return raised.value


def delete_all(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO runs (id) VALUES (:x)"), {"x": "x" * 100_000})


def impatient(store: Store) -> sa.Engine:
    return sa.create_engine(store.database.url, connect_args={"timeout": 0.01})


def test_a_database_that_another_program_holds_is_locked(store: Store, tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "lethe.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    engine = impatient(store)
    assert "locked by another program" in trouble(met(lambda: delete_all(engine)))
    holder.close()
    engine.dispose()


def test_a_full_disk_under_the_database_is_full(store: Store) -> None:
    engine = impatient(store)

    @sa.event.listens_for(engine, "connect")
    def bound(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    columns = "(id, kind, title, spec, model, search, state, owner, priority, attempt, crashes, "
    columns += "batch_scale, created, fraction, message, worker, starred, archived, n_events, "
    columns += "has_result)"
    row = f"'x', '', '{'x' * 1_000_000}', '', '', '', '', '', 1, 1, 1, 1, 1, 1, '', '', 0, 0, 0, 0"

    def fill() -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"INSERT INTO runs {columns} VALUES ({row})")

    assert "disk that holds the database is full" in trouble(met(fill))
    engine.dispose()


def test_a_write_protected_database_can_only_be_read(store: Store) -> None:
    url = f"sqlite:///file:{store.database.url.database}?mode=ro&uri=true"
    engine = sa.create_engine(url)
    assert "can only be read" in trouble(met(lambda: delete_all(engine)))
    engine.dispose()


def test_an_absent_folder_a_damaged_file_and_absent_tables_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "garbage.sqlite").write_bytes(b"no database at all" * 100)
    words = {}
    for name in ("absent/lethe.sqlite", "garbage.sqlite", "empty.sqlite"):
        engine = sa.create_engine(f"sqlite:///{tmp_path / name}")
        words[name] = trouble(met(lambda engine=engine: delete_all(engine)))
        engine.dispose()
    assert "cannot be opened" in words["absent/lethe.sqlite"]
    assert "no SQLite database" in words["garbage.sqlite"]
    assert "none of Lethe's tables" in words["empty.sqlite"]


def test_a_database_server_that_is_not_there_is_said_without_its_password() -> None:
    engine = sa.create_engine("postgresql+psycopg://lethe:hidden@127.0.0.1:1/lethe")
    words = trouble(met(lambda: delete_all(engine)))
    assert "cannot be reached" in words and "127.0.0.1" in words and "hidden" not in words


def test_no_free_connection_is_trouble() -> None:
    assert "Every connection" in trouble(PoolTimeout("QueuePool limit reached"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "The disk is full: /data/x. Free"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "can only be read: /data/x"),
        (errno.EACCES, "may not use the file or folder: /data/x"),
        (errno.EMFILE, "Too many files"),
    ],
)
def test_what_a_disk_answers_is_said_with_the_file(code: int, words: str) -> None:
    assert words in trouble(OSError(code, "", "/data/x"))
    assert words in disk_trouble(OSError(code, "", "/data/x"))


def test_what_libraries_make_of_a_full_disk_is_a_full_disk() -> None:
    def save(write: Callable[[Any], None]) -> None:
        with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
            write(file)

    zeros = np.zeros(100_000)
    assert "disk is full" in disk_trouble(met(lambda: save(lambda file: np.savez(file, a=zeros))))
    assert "disk is full" in disk_trouble(met(lambda: save(lambda file: np.save(file, zeros))))
    words = "Error while serializing: I/O error: No space left on device (os error 28)"
    assert "disk is full" in disk_trouble(SafetensorError(words))


@pytest.mark.parametrize(
    "error",
    [
        KeyError("layer"),
        ValueError("the disk is full of ideas"),
        UserError("No model."),
        FileNotFoundError(errno.ENOENT, "", "x"),
        IntegrityError("", {}, sqlite3.IntegrityError("UNIQUE constraint failed")),
    ],
)
def test_anything_else_is_no_trouble(error: Exception) -> None:
    assert trouble(error) == ""


def test_a_refusal_that_hides_its_cause_on_purpose_is_no_trouble() -> None:
    def refuse() -> None:
        try:
            raise PermissionError(errno.EACCES, "", "model")
        except PermissionError:
            raise NotFound("There is no such model.") from None

    assert trouble(met(refuse)) == ""


def test_trouble_is_raised_in_words_and_bugs_as_they_are() -> None:
    with pytest.raises(Unavailable, match="disk is full"), said():
        raise OSError(errno.ENOSPC, "", "/data")
    with pytest.raises(KeyError), said():
        raise KeyError("x")

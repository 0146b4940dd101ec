"""Whether anything was written since one last looked, told without a look."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from worker.store.changes import Changes
from worker.store.database import Database

INSERT = sa.text("INSERT INTO one DEFAULT VALUES")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/lethe.sqlite")
    with made.write() as session:
        session.execute(sa.text("CREATE TABLE one (n INTEGER PRIMARY KEY)"))
    yield made
    made.close()


@pytest.fixture
def changes(database: Database) -> Iterator[Changes]:
    made = Changes(database)
    yield made
    made.close()


def test_a_mark_is_another_after_every_commit_of_anybody(
    database: Database, changes: Changes
) -> None:
    marks = [changes.mark()]
    for _ in range(2):
        with database.write() as session:
            session.execute(INSERT)
        marks.append(changes.mark())
    if os.fork() == 0:
        with Database(database.url.render_as_string()).write() as session:
            session.execute(INSERT)
        os._exit(0)
    os.wait()
    marks.append(changes.mark())
    assert None not in marks and len(set(marks)) == 4


def test_a_mark_is_the_same_where_nothing_was_committed(
    database: Database, changes: Changes
) -> None:
    before = changes.mark()
    with database.write():  # as DBOS looks for jobs: it takes the lock, and writes nothing
        pass
    with database.read() as session:
        session.execute(sa.text("SELECT * FROM one"))
    with pytest.raises(RuntimeError), database.write() as session:
        session.execute(INSERT)
        raise RuntimeError("taken back")
    assert changes.mark() == before


def test_nothing_is_told_while_the_file_is_away_and_another_file_is_another_state(
    database: Database, changes: Changes, tmp_path: Path
) -> None:
    before = changes.mark()
    database.close()
    file, aside = tmp_path / "lethe.sqlite", tmp_path / "aside.sqlite"
    file.rename(aside)
    assert changes.mark() is None
    file.write_bytes(aside.read_bytes())
    assert changes.mark() not in (None, before)
    file.unlink()
    aside.rename(file)
    assert changes.mark() == before


def test_on_postgres_it_cannot_be_told() -> None:
    elsewhere = SimpleNamespace(is_sqlite=False, url=sa.make_url("postgresql://h/n"))
    assert Changes(cast(Any, elsewhere)).mark() is None

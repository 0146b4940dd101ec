"""A fresh store: on SQLite always, on Postgres where a URL of one is given."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from worker.contract.settings import Settings
from worker.store.people_tables import PersonRow
from worker.store.store import Store

POSTGRES = os.environ.get("LETHE_TEST_POSTGRES_URL", "")
SKIPPED = "LETHE_TEST_POSTGRES_URL is not set; would do the same on Postgres"
DATABASES = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.skipif(not POSTGRES, reason=SKIPPED)),
]


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and nothing in them: a copy takes a tenth of the migrations."""
    folder = tmp_path_factory.mktemp("empty")
    Store.open(Settings(data=folder)).close()
    return folder / "lethe.sqlite"


@pytest.fixture(params=DATABASES)
def chosen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    with fresh(request.param, tmp_path) as made:
        yield made


@contextmanager
def fresh(kind: str, folder: Path) -> Iterator[Settings]:
    """Settings of a place of its own that holds nothing."""
    if kind == "sqlite":
        yield Settings(data=folder)
        return
    name = f"lethe_{uuid4().hex[:8]}"
    server = sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    url = sa.make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    yield Settings(data=folder, database_url=url)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture
def store(chosen: Settings, empty: Path) -> Iterator[Store]:
    if chosen.database.startswith("sqlite"):
        shutil.copy(empty, chosen.data)
    opened = Store.open(chosen)
    yield opened
    opened.close()


@pytest.fixture
def people(store: Store) -> Store:
    """A store with three members: max, mia and vera."""
    with store.database.write() as session:
        for name in ("max", "mia", "vera"):
            made = {"password": "x", "role": "member", "disabled": False, "created": 1.0}
            session.add(PersonRow(name=name, **made))
    return store

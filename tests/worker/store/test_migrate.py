import logging
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from worker.contract.errors import UserError
from worker.contract.settings import Settings
from worker.store import migrate as migrating
from worker.store.database import Database
from worker.store.migrate import migrate, newest, revision
from worker.store.store import Store
from worker.store.tables import OF_SEARCHES, Base

ROOT = Path(__file__).parents[3]


def test_the_migrations_make_exactly_the_tables_of_the_models(store: Store) -> None:
    with store.engine.connect() as connection:
        opts = {"compare_type": True, "include_name": lambda name, *about: name not in OF_SEARCHES}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_heads() == (newest(),)
    assert revision(store.database) == newest()


TOGETHER = """
import os, sys, traceback
from pathlib import Path
from worker.contract.settings import Settings
from worker.store.store import Store

chosen = Settings(data=Path(sys.argv[1]), database_url=sys.argv[2])
opened = []
for _ in range(4):
    if pid := os.fork():
        opened.append(pid)
        continue
    try:
        os._exit(10 + len(Store.open(chosen).runs()))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in opened])
"""


def test_processes_that_open_a_fresh_store_together_all_succeed(chosen: Settings) -> None:
    command = [sys.executable, "-c", TOGETHER, str(chosen.data), chosen.database_url]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "[10, 10, 10, 10]\n", ended.stderr


def test_a_database_of_a_newer_lethe_is_refused_and_left_alone(chosen: Settings) -> None:
    store = Store.open(chosen)
    with store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UserError, match=f"9999.*{newest()}"):
        migrate(store.database)
    store.close()


def test_sqlite_waits_for_its_lock_and_journals_ahead(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a b.sqlite")
    with database.engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        }
    expected = {"journal_mode": "wal", "busy_timeout": 30000, "foreign_keys": 1, "synchronous": 1}
    assert values == expected
    database.close()


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite://", "nonsense"])
def test_a_database_that_several_processes_cannot_share_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="LETHE_DATABASE_URL"):
        Database(url)


def test_a_new_database_is_made_in_silence_and_an_older_one_says_from_where_to_where(
    chosen: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    store = Store.open(chosen)
    assert [one.getMessage() for one in caplog.records if "lembic" in one.name] == []
    assert "revision" not in caplog.text
    store.close()
    said = []
    monkeypatch.setattr(migrating, "_upgrade", lambda connection: said.append("upgraded"))
    with store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    store.close()
    Store.open(chosen).close()
    told = [one.getMessage() for one in caplog.records if one.name == "lethe.store"]
    assert told == [f"The database goes from revision 0001 to {newest()}."]
    assert said == ["upgraded"]

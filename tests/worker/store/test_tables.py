"""What the tables keep: odd text, the database's clock, and defaults that a row begins with."""

import time
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from tests.worker.store.test_runs import add
from worker.store.store import Store
from worker.store.tables import Base, Run, RunTag, database_time, moment


@pytest.mark.parametrize("odd", ["é\0\ud800", float("inf"), [None, True, 1.5], {"a": {}}])
def test_json_comes_back_as_it_was(store: Store, odd: object) -> None:
    run_id = add(store)
    with store.database.write() as session:
        session.execute(sa.update(Run).where(Run.id == run_id).values(spec={"odd": odd}))
    with store.database.read() as session:
        assert session.get_one(Run, run_id).spec == {"odd": odd}
        kept = session.scalar(sa.text("SELECT spec FROM runs"))
        assert kept.isascii()


def test_the_databases_clock_is_seconds_since_1970_and_read_in_utc(store: Store) -> None:
    with store.database.read() as session:
        now = session.scalar(sa.select(database_time()))
    assert abs(now - time.time()) < 60  # hosts that share a database may differ a little
    assert moment(86400.5) == datetime(1970, 1, 2, 0, 0, 0, 500_000, tzinfo=UTC)


def test_a_run_begins_with_nothing_and_its_tags_go_with_it(store: Store) -> None:
    run_id = add(store, tags=("a",))
    with store.database.read() as session:
        row = session.get_one(Run, run_id)
    begins = {"attempt": 0, "crashes": 0, "batch_scale": 1.0, "fraction": 0.0, "worker": ""}
    begins |= {"starred": False, "archived": False, "has_result": False, "message": ""}
    assert {name: getattr(row, name) for name in begins} == begins
    assert row.taken is row.started is row.finished is row.cancel_requested is None
    with store.database.write() as session:
        for table in ("run_events", "runs"):
            session.execute(sa.text(f"DELETE FROM {table}"))
        assert session.scalars(sa.select(RunTag)).all() == []


def test_the_migrations_make_the_tables_as_they_are_declared(store: Store) -> None:
    """Every table, column, key and index; what a delete takes along."""
    found = sa.inspect(store.engine)
    for name, table in Base.metadata.tables.items():
        columns = {c["name"]: c["nullable"] for c in found.get_columns(name)}
        assert columns == {c.name: bool(c.nullable) for c in table.columns}, name
        assert found.get_pk_constraint(name)["constrained_columns"] == [
            c.name for c in table.primary_key
        ], name
        indexes = {(i["name"], *i["column_names"]) for i in found.get_indexes(name)}
        declared = {(i.name, *(c.name for c in i.columns)) for i in table.indexes}
        assert indexes >= declared, name
        keys = {
            (k["constrained_columns"][0], k["referred_table"], k["options"].get("ondelete"))
            for k in found.get_foreign_keys(name)
        }
        assert keys == {
            (k.parent.name, k.column.table.name, k.ondelete) for k in table.foreign_keys
        }, name

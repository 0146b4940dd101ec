"""The queues of runs: where a run waits, in which order, and under which limits."""

from typing import Any, get_args

import sqlalchemy as sa

from worker.contract.selection import FactsSpec
from worker.contract.spec import RunKind, StudySpec
from worker.contract.study import StudyMask, StudyMethod
from worker.engine.queue import (
    COMPUTE_RUN,
    CONDUCT_STUDY,
    MAX_DISPATCHES,
    PRIORITIES,
    RUNS,
    STUDIES,
    STUDIES_AT_ONCE,
    VERSION,
    configuration,
    jobs_table,
    open_client,
    queue_of,
    register_queues,
)

STUDY = StudySpec(
    facts=FactsSpec(set="tiny"),
    masks={"all": StudyMask(title="All", control="all")},
    methods={"fake": StudyMethod(title="Fake")},
)


def test_a_quick_look_comes_before_a_measurement_before_an_edit_before_a_study() -> None:
    assert set(PRIORITIES) == set(get_args(RunKind))
    order = [PRIORITIES[kind] for kind in ("explore", "localize", "unlearn", "study")]
    assert order == sorted(set(order))
    assert {PRIORITIES[kind] for kind in ("localize", "evaluate", "export", "add")} == {10}
    assert (order[0], order[2], order[3]) == (5, 20, 50)


def test_a_run_waits_where_nobody_listens_and_a_study_among_studies(
    engine: Any, fleet: Any
) -> None:
    run_id = engine.submit(fleet.spec(), session="a")
    study = engine.submit(STUDY, session="a")
    lonely = engine.submit(STUDY)
    jobs = jobs_table(engine.store.database)
    with engine.store.database.read() as session:
        c = jobs.c
        rows = session.execute(sa.select(c.workflow_uuid, c.name, c.queue_name, c.status)).all()
        found = {row[0]: tuple(row[1:]) for row in rows}
        parts = dict(
            session.execute(
                sa.select(
                    c.workflow_uuid, sa.literal_column("queue_partition_key", sa.String)
                ).select_from(jobs)
            ).all()
        )
    assert found[run_id] == (COMPUTE_RUN, RUNS, "ENQUEUED")
    assert found[study] == found[lonely] == (CONDUCT_STUDY, STUDIES, "ENQUEUED")
    assert (parts[run_id], parts[study], parts[lonely]) == (None, "a", "-")


def test_a_worker_computes_one_run_at_a_time_and_conducts_several_studies(engine: Any) -> None:
    engine._client()
    client = open_client(engine.store.database)
    try:
        register_queues(client, 0.5, "w1")
        with engine.store.database.read() as session:
            schema = "" if engine.store.database.is_sqlite else "dbos."
            rows = session.execute(sa.text(f"SELECT * FROM {schema}queues")).mappings().all()
        limits = {row["name"]: dict(row) for row in rows}
    finally:
        client.destroy()
    own, studies = limits[queue_of("w1")], limits[STUDIES]
    assert queue_of("w1") != queue_of("w2") != RUNS
    assert own["worker_concurrency"] == 1
    assert studies["worker_concurrency"] == STUDIES_AT_ONCE == 8
    assert (own["polling_interval_sec"], studies["polling_interval_sec"]) == (0.5, 1.0)


def test_a_process_takes_the_jobs_of_its_own_version_under_its_own_name(engine: Any) -> None:
    made = configuration(engine.store.database, "w1")
    said = {k: v for k, v in made.items() if not k.startswith("system") and k != "serializer"}
    assert said == {
        "name": "lethe",
        "run_migrations": False,
        "executor_id": "w1",
        "application_version": VERSION,
        "use_listen_notify": False,
        "notification_listener_polling_interval_sec": 60.0,
        "scheduler_polling_interval_sec": 3600.0,
        "log_level": "WARNING",
    }
    assert made["system_database_engine"] is engine.store.database.engine
    assert sa.make_url(made["system_database_url"]) == engine.store.database.url
    assert set(made["serializer"].serialize({"a": 1})) <= set('{"a": 1}'), "JSON, never a pickle"
    assert (VERSION, MAX_DISPATCHES) == ("1", 50)


def test_the_names_under_which_jobs_lie_in_databases_stay(engine: Any) -> None:
    assert (COMPUTE_RUN, CONDUCT_STUDY) == ("compute_run", "conduct_study")
    assert (RUNS, STUDIES, queue_of("w1")) == ("runs", "studies", "runs of w1")
    database = engine.store.database
    engine._client()
    jobs = jobs_table(database)
    columns = sa.inspect(database.engine).get_columns(jobs.name, schema=jobs.schema)
    assert {c.name for c in jobs.c} <= {c["name"] for c in columns}

"""The queues of runs on DBOS, as client and supervisor both see them: names, version, priorities.

DBOS lies in the same database as the tables and is given the same engine, so that a run and its
job are written in one transaction. Every run is queued where nobody listens (RUNS); a worker that
is free moves the next one that it can do into a queue of its own (`worker.engine.handing`).
"""

from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions
from sqlalchemy.orm import Session

from worker.contract.spec import RunKind
from worker.store.database import Database

APPLICATION = "lethe"
VERSION = "1"
"""Set by hand: DBOS' default hashes the source, and after an upgrade nothing would be recovered.
Raise it only when jobs of older versions must not be computed by newer code."""
RUNS, STUDIES = "runs", "studies"
"""Two queues: a study holds no device, and must not hold the place of the runs it waits for.
To RUNS nobody listens: its jobs wait there until a worker takes them into its own queue."""
COMPUTE_RUN, CONDUCT_STUDY = "compute_run", "conduct_study"
STUDIES_AT_ONCE = 8
"""Per supervisor; each is a thread that waits."""
MAX_DISPATCHES = 50
"""A backstop of DBOS'; the store's MAX_CRASHES ends a run that kills its workers long before."""
PRIORITIES: dict[RunKind, int] = {
    "explore": 5,
    "localize": 10,
    "evaluate": 10,
    "export": 10,
    "add": 10,
    "unlearn": 20,
    "study": 50,
}
"""Lower is sooner, where a session has runs of several kinds of which none was served yet; from
then on its kinds take turns (`worker.store.turns`)."""


def prepare(database: Database) -> None:
    """Bring DBOS' own tables to the version of the installed package."""
    DBOS.migrate(database.url.render_as_string(hide_password=False))


def open_client(database: Database) -> DBOSClient:
    """Make a client that enqueues and cancels; it never runs anything."""
    return DBOSClient(
        system_database_engine=database.engine,
        serializer=DBOSPortableJSONSerializer(),
        application_name=APPLICATION,
        retry_connection_errors=False,
    )


def queue_of(worker: str) -> str:
    """The name of a worker's own queue."""
    return f"{RUNS} of {worker}"


def jobs_table(database: Database) -> sa.TableClause:
    """DBOS' table of jobs, as far as it is written here."""
    names = ("workflow_uuid", "status", "name", "queue_name", "executor_id", "owner_xid")
    more = ("started_at_epoch_ms", "application_version")
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in (*names, *more)]
    return sa.table("workflow_status", *columns, schema=None if database.is_sqlite else "dbos")


def register_queues(client: DBOSClient, poll_seconds: float, worker: str) -> None:
    """Write the limits of a worker's own queue, one run at a time, and of the studies'."""
    client.register_queue(queue_of(worker), worker_concurrency=1, polling_interval_sec=poll_seconds)
    client.register_queue(
        STUDIES,
        worker_concurrency=STUDIES_AT_ONCE,
        partition_worker_concurrency=STUDIES_AT_ONCE,
        polling_interval_sec=2 * poll_seconds,
    )


def enqueue(
    client: DBOSClient, session: Session, run_id: str, kind: RunKind, partition: str, priority: int
) -> None:
    """Queue a run in the caller's transaction, under the run's own id.

    Between the partitions of studies the turn is drawn at random.
    """
    options: EnqueueOptions = {
        "workflow_name": COMPUTE_RUN,
        "queue_name": RUNS,
        "workflow_id": run_id,
        "priority": priority,
    }
    if kind == "study":
        options["workflow_name"], options["queue_name"] = CONDUCT_STUDY, STUDIES
        options["queue_partition_key"] = partition or "-"
    client.enqueue_in_transaction(session, options, run_id)


def configuration(database: Database, executor: str) -> DBOSConfig:
    """The configuration of a process that runs jobs under the id `executor`."""
    return {
        "name": APPLICATION,
        "system_database_url": database.url.render_as_string(hide_password=False),
        "system_database_engine": database.engine,
        "serializer": DBOSPortableJSONSerializer(),
        "run_migrations": False,
        "executor_id": executor,
        "application_version": VERSION,
        "use_listen_notify": False,
        "notification_listener_polling_interval_sec": 60.0,
        "scheduler_polling_interval_sec": 3600.0,
        "log_level": "WARNING",
    }

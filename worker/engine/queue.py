"""The queue of runs on DBOS, as client and supervisor both see it: names, version, priorities.

DBOS lies in the same database as the tables and is given the same engine, so that a run and its
job are written in one transaction.
"""

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions
from sqlalchemy.orm import Session

from worker.contract.spec import RunKind
from worker.store.database import Database

APPLICATION = "lethe"
VERSION = "1"
"""Set by hand: DBOS' default hashes the source, and after an upgrade nothing would be recovered.
Raise it only when jobs of older versions must not be computed by newer code."""
RUNS, STUDIES = "runs", "studies"
"""Two queues: a study holds no device, and must not hold the place of the runs it waits for."""
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
"""Lower is sooner, within one owner's runs; between owners the turn is drawn at random."""


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


def register_queues(client: DBOSClient, poll_seconds: float) -> None:
    """Write the queues' limits: one run at a time per supervisor, a partition per owner."""
    for name, limit, poll in (
        (RUNS, 1, poll_seconds),
        (STUDIES, STUDIES_AT_ONCE, 4 * poll_seconds),
    ):
        client.register_queue(
            name,
            worker_concurrency=limit,
            partition_worker_concurrency=limit,
            polling_interval_sec=poll,
        )


def enqueue(
    client: DBOSClient, session: Session, run_id: str, kind: RunKind, owner: str, priority: int
) -> None:
    """Queue a run in the caller's transaction, under the run's own id."""
    is_study = kind == "study"
    options: EnqueueOptions = {
        "workflow_name": CONDUCT_STUDY if is_study else COMPUTE_RUN,
        "queue_name": STUDIES if is_study else RUNS,
        "workflow_id": run_id,
        "priority": priority,
        "queue_partition_key": owner or "-",
    }
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

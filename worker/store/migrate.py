"""Bring a database to the newest tables. Several processes may do so at once: one works."""

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from worker.contract.errors import UserError
from worker.store.database import Database

log = logging.getLogger("lethe.store")
FOLDER = Path(__file__).parent / "migrations"
LOCK = 0x4C65746865
"""Key of the Postgres advisory lock; any number that nothing else in the database uses."""


def newest() -> str:
    """The newest revision: revisions are numbered, and a file's name begins with its number."""
    return max(file.name.split("_")[0] for file in (FOLDER / "versions").glob("[0-9]*.py"))


def revision(database: Database) -> str | None:
    """The revision of a database's tables; None where there are none yet."""
    with database.reader.connect() as connection:
        return _revision(connection)


def migrate(database: Database) -> None:
    """Bring the tables to the newest revision; raise UserError for one that a newer Lethe made."""
    with database.reader.connect() as connection:
        if _revision(connection) == newest():
            return
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        revision = _revision(connection)
        if revision and revision > newest():
            raise UserError(
                f"The database {database.url.render_as_string()} is at revision {revision}; this "
                f"Lethe knows up to {newest()}. Install the newer Lethe that made it."
            )
        if revision and revision != newest():
            log.info("The database goes from revision %s to %s.", revision, newest())
        _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    # Imported here because it takes 0.2 s, which a start on a migrated database need not pay.
    from alembic import command
    from alembic.config import Config

    # Its steps are nothing to whoever starts a server; what fails is raised.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

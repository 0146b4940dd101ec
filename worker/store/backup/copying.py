"""A database as one file, and back: SQLite by its backup API, Postgres by pg_dump and pg_restore.

Both copy one moment of it, while others write.
"""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from worker.contract.errors import Unavailable, UserError
from worker.contract.private import make_file
from worker.contract.settings import hidden
from worker.store.database import BUSY_SECONDS, Database, parse_url
from worker.store.tables import Base, WorkerRow
from worker.store.workers import alive

DBOS_SCHEMA = "dbos"
PLACES = "/usr/lib/postgresql"
"""Where Debian has the programs of each version."""


def dump(database: Database, into: Path) -> None:
    """Write a copy of a database to a new file."""
    if not database.is_sqlite:
        _postgres("pg_dump", database.url, "--format=custom", f"--file={into}")
        return
    make_file(into)
    there = f"{Path(database.url.database or '').absolute().as_uri()}?mode=rw"
    with (
        closing(sqlite3.connect(there, uri=True, timeout=BUSY_SECONDS)) as source,
        closing(sqlite3.connect(into)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, without others beside it
        if (said := copy.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            raise Unavailable(f"The database's file is damaged ({said}). Put a copy of it back.")


def load(dumped: Path, url: sa.URL) -> None:
    """Put a copy in a database's place; what it held is gone. An interruption leaves no tables."""
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
        try:
            make_file(part)
            shutil.copyfile(dumped, part)
            for ending in ("wal", "shm"):
                path.with_name(f"{path.name}-{ending}").unlink(missing_ok=True)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return
    _drop_tables(url)
    _postgres("pg_restore", url, "--single-transaction", "--exit-on-error", str(dumped))


def holds_tables(url: sa.URL) -> bool:
    """Whether there is anything that `load` would overwrite."""
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        return path.exists() and path.stat().st_size > 0
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return bool(sa.inspect(connection).get_table_names())


def is_used(url: sa.URL) -> bool:
    """Whether a worker beats in this database."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(WorkerRow.__tablename__):
            return False
        return bool(connection.scalar(sa.select(sa.func.count(WorkerRow.id)).where(alive())))


def _drop_tables(url: sa.URL) -> None:
    """Drop Lethe's and DBOS' tables, whichever revision made them, and nothing else."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    names = [*Base.metadata.tables, "alembic_version"]
    with engine.begin() as connection:
        for name in names:
            connection.execute(sa.text(f'DROP TABLE IF EXISTS "{name}" CASCADE'))
        connection.execute(sa.text(f"DROP SCHEMA IF EXISTS {DBOS_SCHEMA} CASCADE"))


def _postgres(program: str, url: sa.URL, *arguments: str) -> None:
    """Run one of Postgres' programs on a database; raises UserError or Unavailable in words."""
    plain = parse_url(str(url.render_as_string(hide_password=False)))
    address = plain.set(drivername="postgresql")
    environment = dict(os.environ)
    if address.password:
        # Not as an argument, which every user of the machine can read.
        environment["PGPASSWORD"] = str(address.password)
    named = sa.URL.create(
        "postgresql",
        username=address.username,
        host=address.host,
        port=address.port,
        database=address.database,
        query=address.query,
    ).render_as_string(hide_password=False)
    command = [_program(program), "--no-owner", "--no-privileges", f"--dbname={named}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = hidden(" ".join(done.stderr.split())) or f"exit code {done.returncode}"
        raise Unavailable(f"{program} could not do its work: {said}")


def _program(name: str) -> str:
    """Where one of Postgres' programs is: in the PATH, or the newest in Debian's place."""
    if found := shutil.which(name):
        return found
    places = sorted(Path(PLACES).glob(f"[0-9]*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    if places:
        return str(places[-1])
    raise UserError(
        f"A backup of Postgres needs its program {name}, which is neither in the PATH nor under "
        f"{PLACES}. Install it (Debian: `apt-get install postgresql-client`), in the server's "
        f"version or a newer one."
    )

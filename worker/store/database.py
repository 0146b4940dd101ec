"""The database of the tables and of DBOS: SQLite with the locking DBOS needs, or Postgres."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.orm import ORMExecuteState, Session

from worker.contract.errors import UserError
from worker.contract.private import make_file
from worker.contract.settings import hidden

BUSY_SECONDS = 30
CONNECT_SECONDS = 10
# A process that is paused inside a transaction would keep its rows from everybody.
_POSTGRES_OPTIONS = "-c idle_in_transaction_session_timeout=10s"


class Database:
    """Two engines on one database.

    `engine` writes, and DBOS uses it too: on SQLite every transaction takes the write lock at its
    begin, because the driver opens none before a SELECT and check-then-write would race. `reader`
    reads a snapshot without that lock. On Postgres they are one.
    """

    look: Callable[[ORMExecuteState], None] | None = None
    """Called with every statement before it is executed, to leave of it what may be seen."""
    acting: object = None
    """For whom what is written in a session is made, as that session's info tells it."""
    refuse: Callable[[], None] | None = None
    """Raises before anything is written, for whom nothing may be."""

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        # SQLite lets who finds its write lock taken sleep, ever longer, and wakes nobody: threads
        # of one process wait here instead, and go on at once.
        self._turn = threading.RLock()
        if self.url.get_backend_name() == "sqlite":
            _prepare_file(self.url)
            self.engine = _sqlite(self.url, "BEGIN IMMEDIATE")
            self.reader = _sqlite(self.url, "BEGIN")
        else:
            self.engine = self.reader = _postgres(self.url)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def seen_by(
        self,
        look: Callable[[ORMExecuteState], None] | None,
        acting: object = None,
        refuse: Callable[[], None] | None = None,
    ) -> Self:
        """The same database, of which a look leaves a part; close only the first."""
        own = copy(self)
        own.look, own.acting, own.refuse = look, acting, refuse
        return own

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that sees one snapshot; nothing written in it is kept."""
        with _Looked(self.reader, expire_on_commit=False, info=self._info) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session that commits at the end of the block and rolls back on an exception."""
        if self.refuse is not None:
            self.refuse()
        with (
            self._turn if self.is_sqlite else nullcontext(),
            _Looked(self.engine, expire_on_commit=False, info=self._info) as session,
            session.begin(),
        ):
            yield session

    @property
    def _info(self) -> dict[Any, Any]:
        return {"look": self.look, "acting": self.acting}

    def lock(self, session: Session, name: str) -> None:
        """Let one transaction at a time into what `name` stands for; on SQLite every write is."""
        if not self.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})

    def close(self) -> None:
        self.engine.dispose()
        self.reader.dispose()


class _Looked(Session):
    """A session whose statements are looked at before they are executed."""


@event.listens_for(_Looked, "do_orm_execute")
def _look(state: ORMExecuteState) -> None:
    if (look := state.session.info["look"]) is not None:
        look(state)


def parse_url(url: str) -> URL:
    """Read a database's URL; raises UserError for one that cannot be used."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UserError(
            f"{hidden(url)!r} is no database URL; expected sqlite:///PATH or "
            f"postgresql+psycopg://USER:PASSWORD@HOST/NAME. Set LETHE_DATABASE_URL.",
            field="database_url",
        ) from None
    if "@" in (parsed.host or ""):
        raise UserError(
            f"The database URL {hidden(url)!r} has more than one @; expected one, between password "
            f"and host. Write %40 for an @ in the password, in LETHE_DATABASE_URL.",
            field="database_url",
        )
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise UserError(
        f"The database {parsed.render_as_string()} cannot be used; expected a SQLite file or "
        f"Postgres, which several processes can open. Set LETHE_DATABASE_URL.",
        field="database_url",
    )


def _prepare_file(url: URL) -> None:
    """Make the file and switch WAL on, once: a switch that meets another's gets no busy wait."""
    path = Path(url.database or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    # SQLite gives its journals the modes of the database.
    for file in (path, *(one for one in _journals(path) if one.exists())):
        make_file(file)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def _journals(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(f"{path.name}-{ending}") for ending in ("wal", "shm"))


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies at a path; None where none does."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _postgres(url: URL) -> Engine:
    try:
        return create_engine(
            url,
            pool_size=10,
            max_overflow=20,
            pool_pre_ping=True,
            connect_args={"options": _POSTGRES_OPTIONS, "connect_timeout": CONNECT_SECONDS},
        )
    except ImportError:
        raise UserError(
            "Postgres needs the package psycopg, which is not installed. Install it with "
            "`pip install 'psycopg[binary]'`.",
            field="database_url",
        ) from None


def _sqlite(url: URL, begin: str) -> Engine:
    """Make an engine whose connections are to the file that lies there, and make none.

    Who holds a file open goes on writing to it when it is deleted, moved or replaced by a backup,
    and nobody finds again what was written.
    """
    engine = create_engine(url, pool_size=10, max_overflow=20)
    path = Path(url.database or "").absolute()

    @event.listens_for(engine, "do_connect")
    def open_existing(dialect: Any, record: Any, given: list[Any], named: dict[str, Any]) -> None:
        given[0] = f"{path.as_uri()}?mode=rw"
        named["uri"] = True

    @event.listens_for(engine, "checkout")
    def refuse_another(connection: Any, record: Any, proxy: Any) -> None:
        if record.info["file"] != identity(path):
            raise DisconnectionError(f"the database {path} was taken away or replaced")

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        record.info["file"] = identity(path)
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def open_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine

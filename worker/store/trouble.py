"""What may be wrong with what the store stands on, told from the driver's errors, with the cure.

Trouble passes by itself or by an administrator's hand, and nothing in Lethe can mend it: a full
disk, a database that is locked, away, damaged or write-protected. What is not trouble is a bug.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from worker.contract.disk import chain, disk_trouble
from worker.contract.errors import LetheError, Unavailable

_GONE = (
    "The database has none of Lethe's tables: it was emptied or taken away while Lethe ran. Put it "
    "back; or start Lethe again, which makes the tables anew."
)
_FULL = (
    "The disk that holds the database is full, so nothing new can be kept; what is stored can be "
    "read. Free some space there."
)
_READ_ONLY = (
    "The database can only be read: its file, or the folder around it, is write-protected. Give "
    "the user that runs Lethe the right to write there (LETHE_DATA)."
)
_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: "The database is locked by another program, and stayed so. Nothing was "
    "changed; try again, and if it lasts, see which program holds the file in LETHE_DATA.",
    sqlite3.SQLITE_LOCKED: "The database is locked by another step of Lethe. Nothing was changed; "
    "try again.",
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "The database's file cannot be opened: it or its folder is missing, "
    "write-protected, or another user's. Mend LETHE_DATA.",
    sqlite3.SQLITE_IOERR: "The disk answered the database with an error; it is full, failing or "
    "was taken away. Look at the machine's log.",
    sqlite3.SQLITE_CORRUPT: "The database's file is damaged. Put a copy of it back.",
    sqlite3.SQLITE_NOTADB: "The database's file is no SQLite database. Put a copy of it back.",
}
_POSTGRES = {
    "08": "The connection to the database server broke. It is tried again.",
    "25006": "The database server takes no writes now (it is a standby, or read-only). Point "
    "LETHE_DATABASE_URL at the one that does.",
    "25P03": "The database server closed a connection that was idle for too long. Try again.",
    "28": "The database server refuses this user or password. Mend LETHE_DATABASE_URL.",
    "3D000": "The database server has no database of that name. Make it, or mend "
    "LETHE_DATABASE_URL.",
    "40": "The database server undid a step because another got in its way. Try again.",
    "42P01": _GONE,
    "53100": _FULL,
    "53200": "The database server is out of memory.",
    "53300": "The database server takes no more connections. Raise its max_connections.",
    "55P03": "The database is locked by another program. Nothing was changed; try again.",
    "57": "The database server is stopping, or starts. Try again in a moment.",
    "58": "The database server met an error of its disk. Look at its log.",
    "XX": "The database server says that its data are damaged. Look at its log.",
}
_POOL = (
    "Every connection to the database is in use. Try again in a moment; if it lasts, the database "
    "does not keep up."
)


def trouble(error: BaseException) -> str:
    """Say what is wrong with database or disk, with the cure; "" for anything else."""
    if isinstance(error, LetheError):
        return str(error) if isinstance(error, Unavailable) else ""
    for one in chain(error):
        cause = one.orig if isinstance(one, DBAPIError) else one
        if isinstance(one, PoolTimeout):
            return _POOL
        if isinstance(cause, sqlite3.Error) and (words := _of_sqlite(cause)):
            return words
        if isinstance(cause, psycopg.Error) and (words := _of_postgres(cause)):
            return words
        if isinstance(one, OperationalError) and not _is_wrong_sql(cause):
            return f"The database did not answer as it should: {cause}. Try again."
    return disk_trouble(error)


@contextmanager
def said() -> Iterator[None]:
    """Raise trouble as Unavailable, in words; let anything else through as it is."""
    try:
        yield
    except Unavailable:
        raise
    except Exception as error:
        if words := trouble(error):
            raise Unavailable(words) from error
        raise


def _of_sqlite(error: sqlite3.Error) -> str:
    code = _code(error)
    if code == sqlite3.SQLITE_ERROR and "no such table" in str(error):
        return _GONE
    return _SQLITE.get(code, "")


def _is_wrong_sql(cause: BaseException | None) -> bool:
    """Whether SQLite means a mistake in a statement, for which it has the same kind of error."""
    return isinstance(cause, sqlite3.Error) and _code(cause) == sqlite3.SQLITE_ERROR


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the upper bytes say more of the same


def _of_postgres(error: psycopg.Error) -> str:
    state = error.sqlstate
    if state is None:
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            reason = str(error).strip().splitlines()
            return f"The database server cannot be reached: {reason[0] if reason else 'no answer'}"
        return ""
    return _POSTGRES.get(state) or _POSTGRES.get(state[:2], "")

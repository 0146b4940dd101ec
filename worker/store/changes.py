"""Whether anything was written to the database since one last looked, where that is told for less
than a look: who waits for others' rows looks again only then."""

import sqlite3
from pathlib import Path

from worker.store.database import Database, identity


class Changes:
    """A mark of the database's state. To be asked from one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._path = Path(database.url.database or "").absolute() if database.is_sqlite else None
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def mark(self) -> object | None:
        """Give what is another after every commit; None where that cannot be told: on Postgres,
        and while the file is away.

        SQLite counts the commits of all connections but the asking one's, which never writes.
        """
        if self._path is None:
            return None
        try:
            file = identity(self._path)
            if self._connection is None or file != self._file:
                self._open(file)
            assert self._connection is not None
            (count,) = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            return None
        return file, count

    def _open(self, file: tuple[int, int] | None) -> None:
        """Ask anew the file that lies there now."""
        self.close()
        assert self._path is not None
        self._connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=ro",
            uri=True,
            check_same_thread=False,
            isolation_level=None,
        )
        self._file = file

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

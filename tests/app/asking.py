"""What a database is asked, for tests that count it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from worker.store.database import Database


@contextmanager
def asked_of(database: Database) -> Iterator[list[str]]:
    """The statements that are sent to a database inside the block, in order."""
    sent: list[str] = []
    engines = {database.engine, database.reader}

    def note(connection: Any, cursor: Any, statement: str, *about: Any) -> None:
        sent.append(statement)

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)

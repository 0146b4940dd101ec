"""Texts to forget: a row for the name, the content in the artifacts under its hash."""

import hashlib
from pathlib import Path

from sqlalchemy import delete, select

from worker.contract.base import unknown
from worker.contract.errors import NotFound, UserError
from worker.contract.texts import BUNDLED, TextInfo
from worker.store.artifacts import Artifacts
from worker.store.database import Database
from worker.store.tables import TextRow, database_time, moment


class TextStore:
    """Stored texts, by name."""

    database: Database
    artifacts: Artifacts

    def texts(self) -> list[TextInfo]:
        """Every stored text, by name."""
        with self.database.read() as session:
            return [_info(row) for row in session.scalars(select(TextRow).order_by(TextRow.name))]

    def text_info(self, name: str) -> TextInfo:
        """One stored text; raises NotFound that names the nearest."""
        with self.database.read() as session:
            row = session.get(TextRow, name)
            known = [] if row else list(session.scalars(select(TextRow.name)))
        if row is None:
            sentence = unknown("text", name[:100], [BUNDLED, *known]).message
            raise NotFound(sentence, field="options.text")
        return _info(row)

    def text(self, name: str) -> str:
        """A stored text, whole."""
        with self.artifacts.open(_file(self.text_info(name).hash)) as file:
            return file.read().decode()

    def text_path(self, name: str) -> Path:
        """A local path with the text in UTF-8."""
        return self.artifacts.local(_file(self.text_info(name).hash))

    def save_text(self, name: str, text: str, *, owner: str = "") -> TextInfo:
        """Store a text under a name that is free; UserError for one that is not."""
        name = name.strip()
        if not name or len(name) > 100 or not name.isprintable() or name == BUNDLED:
            raise UserError(
                f"{name[:60]!r} is no name for a text; expected 1 to 100 characters, and not "
                f"{BUNDLED!r}, which is the bundled one.",
                field="name",
            )
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        with self.database.write() as session:
            self.database.lock(session, f"text {name}")
            if session.get(TextRow, name) is not None:
                raise UserError(
                    f"There is a text {name!r} already; choose another name, or delete that one.",
                    field="name",
                )
            self.artifacts.put_bytes(_file(digest), data)
            row = TextRow(
                name=name,
                hash=digest,
                n_characters=len(text),
                n_words=len(text.split()),
                owner=owner,
                created=session.scalar(select(database_time())) or 0.0,
            )
            session.add(row)
        return _info(row)

    def delete_text(self, name: str) -> None:
        """Delete a text; its content goes with the last name that has it."""
        digest = self.text_info(name).hash
        with self.database.write() as session:
            session.execute(delete(TextRow).where(TextRow.name == name))
            others = session.scalar(select(TextRow.name).where(TextRow.hash == digest).limit(1))
            if others is None:
                self.artifacts.delete_tree(f"texts/{digest}")


def _file(digest: str) -> str:
    return f"texts/{digest}/text.txt"


def _info(row: TextRow) -> TextInfo:
    return TextInfo(
        name=row.name,
        hash=row.hash,
        n_characters=row.n_characters,
        n_words=row.n_words,
        created=moment(row.created),
    )

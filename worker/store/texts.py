"""Texts to forget: a row for the name, the content in the artifacts under its hash."""

import hashlib
import struct

from sqlalchemy import delete, select

from worker.contract.base import unknown
from worker.contract.errors import NotFound, UserError
from worker.contract.given_name import given_name
from worker.contract.projects import visibility_of
from worker.contract.texts import BUNDLED, PIECE, TextInfo, piece_bounds
from worker.store.acting import Acting
from worker.store.artifacts import Artifacts
from worker.store.database import Database
from worker.store.placing import placed
from worker.store.sight import WHOLE
from worker.store.tables import TextRow, database_time, moment

_BOUNDS = struct.Struct("<2Q")
"""A piece: its first byte in the text's file, and the one past its last."""


class TextStore:
    """Stored texts, by name."""

    database: Database
    artifacts: Artifacts
    acting: Acting

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

    def text_file(self, name: str) -> str:
        """The artifact that holds the text in UTF-8."""
        return _file(self.text_info(name).hash)

    def text_pieces(self, name: str, offset: int, limit: int) -> tuple[list[str], int, int]:
        """Some of the pieces in which a text reads, the first one's place, and how many there are.

        Of the text no more is read than is given; from its last piece where `offset` lies beyond.
        """
        digest = self.text_info(name).hash
        if not self.artifacts.exists(_bounds_file(digest)):  # stored before bounds were kept
            self.artifacts.put_bytes(_bounds_file(digest), _pack(self.text(name)))
        total = self.artifacts.size(_bounds_file(digest)) // _BOUNDS.size
        start = max(min(offset, total - 1), 0)
        with self.artifacts.open(_bounds_file(digest)) as file:
            file.seek(start * _BOUNDS.size)
            bounds = list(_BOUNDS.iter_unpack(file.read(min(limit, total) * _BOUNDS.size)))
        if not bounds:
            return [], start, total
        first, last = bounds[0][0], bounds[-1][1]
        with self.artifacts.open(_file(digest)) as file:
            file.seek(first)
            data = file.read(last - first)
        return [data[a - first : b - first].decode() for a, b in bounds], start, total

    def save_text(self, name: str, text: str, *, owner: str = "") -> TextInfo:
        """Store a text under a name that is free; UserError for one that is not."""
        name = given_name(name, "text", is_path=True)
        if name == BUNDLED:
            raise UserError(
                f"{name!r} is no name for a text: it is the bundled one's. Choose another.",
                field="name",
            )
        data = text.encode()
        digest = hashlib.sha256(data).hexdigest()
        bounds = _pack(text)
        with self.database.write() as session:
            self.database.lock(session, f"text {name}")
            if session.get(TextRow, name, execution_options=WHOLE) is not None:
                raise UserError(
                    f"There is a text {name!r} already; choose another name, or delete that one.",
                    field="name",
                )
            self.artifacts.put_bytes(_file(digest), data)
            self.artifacts.put_bytes(_bounds_file(digest), bounds)
            row = TextRow(
                name=name,
                hash=digest,
                n_characters=len(text),
                n_words=len(text.split()),
                owner=owner or self.acting.person,
                **placed(session),
                created=session.scalar(select(database_time())) or 0.0,
            )
            session.add(row)
        self.acting.tell(f"text {name}")
        return _info(row)

    def delete_text(self, name: str) -> None:
        """Delete a text; its content goes with the last name that has it."""
        info = self.text_info(name)
        self.acting.refuse_others(info.owner, f"text {name}")
        digest = info.hash
        with self.database.write() as session:
            session.execute(delete(TextRow).where(TextRow.name == name))
            same = select(TextRow.name).where(TextRow.hash == digest).limit(1)
            others = session.scalar(same, execution_options=WHOLE)
            if others is None:
                self.artifacts.delete_tree(f"texts/{digest}")
        self.acting.tell(f"text {name}")


def _file(digest: str) -> str:
    return f"texts/{digest}/text.txt"


def _bounds_file(digest: str) -> str:
    """The artifact with the pieces' bounds; another way of cutting needs another name."""
    return f"texts/{digest}/pieces-{PIECE}.bounds"


def _pack(text: str) -> bytes:
    """The bounds of a text's pieces in its UTF-8."""
    packed, done, at = bytearray(), 0, 0
    for start, stop in piece_bounds(text):
        first = at + len(text[done:start].encode())
        at, done = first + len(text[start:stop].encode()), stop
        packed += _BOUNDS.pack(first, at)
    return bytes(packed)


def _info(row: TextRow) -> TextInfo:
    return TextInfo(
        name=row.name,
        hash=row.hash,
        n_characters=row.n_characters,
        n_words=row.n_words,
        owner=row.owner,
        project=row.project,
        visibility=visibility_of(row.visibility),
        created=moment(row.created),
    )

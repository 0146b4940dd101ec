"""The tables of a shared server's classes."""

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.tables import Base, Name, Names, RunId, Seconds


class ClassRow(Base):
    __tablename__ = "classes"

    id: Mapped[RunId] = mapped_column(primary_key=True)
    title: Mapped[Name]
    project: Mapped[RunId] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), unique=True
    )
    made_by: Mapped[Name]
    model: Mapped[Name]
    methods: Mapped[Names]
    seats: Mapped[int]
    waiting: Mapped[int | None]
    running: Mapped[int | None]
    device_seconds: Mapped[Seconds | None]
    storage: Mapped[int | None] = mapped_column(BigInteger)
    link: Mapped[RunId]
    """The SHA-256 of what the join link holds; empty where there is none."""
    link_expires: Mapped[Seconds]
    created: Mapped[Seconds]
    ended: Mapped[Seconds | None]


class GuestRow(Base):
    """A person who came by a class's link. Their row stays, so that their runs keep a name."""

    __tablename__ = "class_guests"

    person: Mapped[Name] = mapped_column(
        ForeignKey("people.name", ondelete="CASCADE"), primary_key=True
    )
    class_id: Mapped[RunId] = mapped_column(
        ForeignKey("classes.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[Name]
    joined: Mapped[Seconds]

"""The tables of a shared server's projects."""

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.tables import Base, Name, RunId, Seconds


class ProjectRow(Base):
    __tablename__ = "projects"

    id: Mapped[RunId] = mapped_column(primary_key=True)
    title: Mapped[Name]
    """No key: two projects may have one title, so that nobody learns which are taken."""
    made_by: Mapped[Name]
    archived: Mapped[bool] = mapped_column(default=False)
    created: Mapped[Seconds]


class MemberRow(Base):
    """A person in a project."""

    __tablename__ = "project_members"

    project_id: Mapped[RunId] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True
    )
    person: Mapped[Name] = mapped_column(
        ForeignKey("people.name", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[Name]


class ProjectLimitsRow(Base):
    """What a project may take, None without a limit; those of all stand under the empty id."""

    __tablename__ = "project_limits"

    project: Mapped[RunId] = mapped_column(primary_key=True)
    waiting: Mapped[int | None]
    running: Mapped[int | None]
    device_seconds: Mapped[Seconds | None]
    storage: Mapped[int | None] = mapped_column(BigInteger)

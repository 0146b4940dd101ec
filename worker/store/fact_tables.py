"""The tables of facts and of what they are divided into."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.tables import Base, Belongs, Long, Name, Names, Seconds, Seen


class FactSetRow(Base):
    __tablename__ = "fact_sets"

    name: Mapped[Name] = mapped_column(primary_key=True)
    title: Mapped[Long]
    description: Mapped[Long]
    n_facts: Mapped[int]
    groups: Mapped[Names]
    hash: Mapped[str] = mapped_column(String(64))
    bundled: Mapped[bool]
    owner: Mapped[Name]
    project: Mapped[Belongs]
    visibility: Mapped[Seen]
    created: Mapped[Seconds]


class FactRow(Base):
    """What one fact is found by. Narrow, so that a search of 22,000 reads little."""

    __tablename__ = "facts"
    __table_args__ = (Index("facts_by_group", "set_name", "group", "position"),)

    set_name: Mapped[Name] = mapped_column(
        ForeignKey("fact_sets.name", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    group: Mapped[Long]
    search: Mapped[Long]
    """Id, filled prompt, targets, group and relation, case-folded."""


class FactBody(Base):
    """One fact, whole, as JSON text."""

    __tablename__ = "fact_bodies"

    set_name: Mapped[Name] = mapped_column(
        ForeignKey("fact_sets.name", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[Long]


class SplitRow(Base):
    __tablename__ = "splits"

    set_name: Mapped[Name] = mapped_column(
        ForeignKey("fact_sets.name", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[Name] = mapped_column(primary_key=True)
    ids: Mapped[Names]
    owner: Mapped[Name] = mapped_column(default="", server_default="")

"""The tables of who reads lessons and what they answered."""

from sqlalchemy.orm import Mapped, mapped_column

from worker.store.tables import Base, Long, Name, RunId, Seconds


class LessonReader(Base):
    """Who reads lessons: a session or an account, with the name that they gave for the class."""

    __tablename__ = "lesson_readers"

    id: Mapped[RunId] = mapped_column(primary_key=True)
    name: Mapped[Name]


class LessonAnswer(Base):
    """What a reader answered at one step of a lesson, about one fact."""

    __tablename__ = "lesson_answers"

    reader: Mapped[RunId] = mapped_column(primary_key=True)
    lesson: Mapped[Name] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    fact: Mapped[RunId] = mapped_column(primary_key=True)
    """Empty for the lesson's own fact, else the SHA-256 of the reader's."""
    about: Mapped[Long]
    """The reader's own fact in words."""
    first: Mapped[Long]
    """The first answer; empty for a step that asks nothing."""
    given: Mapped[Long]
    """The last answer."""
    attempts: Mapped[int]
    right: Mapped[bool]
    """Whether the last answer was what the experiment showed."""
    shown: Mapped[bool]
    """Whether the reader asked to be shown the answer."""
    updated: Mapped[Seconds]

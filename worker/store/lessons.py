"""What readers of lessons answered, so that each finds their place again."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from worker.store.database import Database
from worker.store.lesson_tables import LessonAnswer, LessonReader
from worker.store.tables import database_time


@dataclass(frozen=True)
class Answered:
    """What a reader answered at one step; of a step that asks nothing, that it was read."""

    reader: str
    lesson: str
    step: int
    about: str = ""
    """The reader's own fact in words; empty for the lesson's."""
    first: str = ""
    given: str = ""
    attempts: int = 0
    right: bool = False
    shown: bool = False
    updated: float = 0.0


class LessonStore:
    """Answers by reader, lesson, step and fact."""

    database: Database

    def lesson_answers(self, reader: str, lesson: str | None = None) -> list[Answered]:
        """One reader's answers, in the lesson's order."""
        with self.database.read() as session:
            query = select(LessonAnswer).filter_by(reader=reader)
            if lesson is not None:
                query = query.filter_by(lesson=lesson)
            rows = session.scalars(query.order_by(LessonAnswer.lesson, LessonAnswer.step)).all()
            return _answered(rows)

    def answers_of(self, readers: Sequence[str]) -> list[Answered]:
        """The answers of these readers."""
        order = LessonAnswer.reader, LessonAnswer.lesson, LessonAnswer.step
        query = select(LessonAnswer).where(LessonAnswer.reader.in_(list(readers)))
        with self.database.read() as session:
            return _answered(session.scalars(query.order_by(*order)).all())

    def class_answers(self) -> list[Answered]:
        """Every reader's answers."""
        order = LessonAnswer.reader, LessonAnswer.lesson, LessonAnswer.step
        with self.database.read() as session:
            return _answered(session.scalars(select(LessonAnswer).order_by(*order)).all())

    def lesson_readers(self) -> dict[str, str]:
        """The names that readers gave, by reader."""
        with self.database.read() as session:
            return {row.id: row.name for row in session.scalars(select(LessonReader))}

    def name_reader(self, reader: str, name: str) -> None:
        """Remember the name under which a reader is in the class's list."""
        with self.database.write() as session:
            session.merge(LessonReader(id=reader, name=name))

    def answer_lesson(
        self,
        reader: str,
        lesson: str,
        step: int,
        fact: str,
        *,
        about: str = "",
        given: str | None = None,
        right: bool = False,
        shown: bool = False,
    ) -> None:
        """Keep an answer, or with `given` None that the step was read, or its answer shown.

        What was right once, or shown once, stays so.
        """
        key = {"reader": reader, "lesson": lesson, "step": step, "fact": fact}
        with self.database.write() as session:
            self.database.lock(session, f"lesson {reader}")
            row = session.get(LessonAnswer, tuple(key.values()))
            if row is None:
                row = LessonAnswer(
                    **key, about=about, first=given or "", given="", attempts=0,
                    right=False, shown=False, updated=database_time(),
                )  # fmt: skip
                session.add(row)
            if given is not None:
                row.first = row.first if row.attempts else given
                row.given = given
                row.attempts += 1
                row.right = row.right or right
            row.shown = row.shown or shown
            row.updated = database_time()


def _answered(rows: Sequence[LessonAnswer]) -> list[Answered]:
    return [
        Answered(
            reader=row.reader,
            lesson=row.lesson,
            step=row.step,
            about=row.about,
            first=row.first,
            given=row.given,
            attempts=row.attempts,
            right=row.right,
            shown=row.shown,
            updated=row.updated,
        )
        for row in rows
    ]

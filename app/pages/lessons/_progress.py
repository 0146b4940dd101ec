"""Answers to lessons as a teacher reads them: the class's list."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.lessons.schema import Lesson, Step
from worker.store.lessons import Answered

HEADER = (
    "reader", "lesson", "step", "title", "about", "first answer", "last answer", "attempts",
    "right", "shown the answer", "when",
)  # fmt: skip


def table(
    answers: Sequence[Answered], names: dict[str, str], lessons: Sequence[Lesson]
) -> Iterator[Sequence[Any]]:
    """Answers as a teacher reads them; a reader without a name is told by a number."""
    yield HEADER
    known = {lesson.name: lesson for lesson in lessons}
    numbers: dict[str, int] = {}
    for one in answers:
        numbers.setdefault(one.reader, len(numbers) + 1)
        lesson = known.get(one.lesson)
        step = lesson.steps[one.step - 1] if lesson and one.step <= len(lesson.steps) else None
        when = datetime.fromtimestamp(one.updated, UTC).isoformat(timespec="seconds")
        yield (
            names.get(one.reader) or f"reader {numbers[one.reader]}", one.lesson, one.step,
            step.title if step else "", one.about, _words(step, one.first),
            _words(step, one.given), one.attempts, one.right, one.shown, when,
        )  # fmt: skip


def _words(step: Step | None, given: str) -> str:
    question = step.question if step else None
    if question is None or question.kind != "choice" or not given.isdecimal():
        return given
    return question.choices[int(given)].words if int(given) < len(question.choices) else given

"""Where readers of lessons are: which steps are done, and where to go on."""

from collections.abc import Sequence

from worker.lessons.schema import Lesson, Step
from worker.store.lessons import Answered


def is_done(step: Step, answered: Answered | None) -> bool:
    """Whether what stands below a step's question may be seen."""
    if answered is None:
        return False
    question = step.question
    if question is None or answered.right or answered.shown:
        return True
    return question.is_prediction and answered.attempts > 0


def done(lesson: Lesson, answers: Sequence[Answered]) -> list[bool]:
    """Give for each step whether it is done, about whichever fact."""
    mine = [one for one in answers if one.lesson == lesson.name]
    return [
        any(is_done(step, one) for one in mine if one.step == number)
        for number, step in enumerate(lesson.steps, 1)
    ]


def place(lesson: Lesson, answers: Sequence[Answered]) -> int:
    """The first step that is not done; the last where all are."""
    steps = done(lesson, answers)
    return steps.index(False) + 1 if False in steps else len(steps)

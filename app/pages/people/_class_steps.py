"""At which step of which lesson each guest of a class is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.lessons import progress
from app.lessons.library import library
from worker.lessons.schema import Lesson
from worker.store.store import Store


@dataclass(frozen=True)
class At:
    """Where somebody is in one lesson."""

    lesson: Lesson
    step: int
    n_done: int
    when: float
    """When they last answered in it, in seconds since 1970."""

    @property
    def is_whole(self) -> bool:
        return self.n_done == len(self.lesson.steps)


def steps_of(store: Store, people: Sequence[str], folder: Path | None) -> dict[str, list[At]]:
    """The lessons that each of these has begun, the one in which they answered last first."""
    answers = store.answers_of(people)
    found: dict[str, list[At]] = {person: [] for person in people}
    for person in people:
        mine = [one for one in answers if one.reader == person]
        for lesson in library(folder).lessons:
            here = [one for one in mine if one.lesson == lesson.name]
            if here:
                done = sum(progress.done(lesson, here))
                when = max(one.updated for one in here)
                found[person].append(At(lesson, progress.place(lesson, here), done, when))
        found[person].sort(key=lambda at: -at.when)
    return found

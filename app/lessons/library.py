"""Finds lessons: the built-in ones, then those of `LETHE_LESSONS`; each is read when it changes."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from worker.contract.base import unknown
from worker.contract.errors import NotFound, UserError
from worker.lessons.reading import read_file
from worker.lessons.schema import Lesson

BUILT_IN = Path(__file__).with_name("built_in")


@dataclass(frozen=True)
class Library:
    """Lessons in their order, and what is wrong with files that are none."""

    lessons: tuple[Lesson, ...]
    problems: tuple[tuple[str, str], ...]
    """A file's name, and a sentence."""

    def find(self, name: str) -> Lesson:
        """One lesson; NotFound names the nearest, or says why its file cannot be read."""
        found = next((one for one in self.lessons if one.name == name), None)
        if found is not None:
            return found
        wrong = [f"{file}, {said}" for file, said in self.problems if Path(file).stem == name]
        if wrong:
            raise NotFound(f"The lesson {name!r} cannot be read: {' '.join(wrong)}")
        raise NotFound(unknown("lesson", name, [one.name for one in self.lessons]).message)


def library(folder: Path | None) -> Library:
    """All lessons; raise UserError where the setting names no folder."""
    if folder is not None and not folder.is_dir():
        raise UserError(
            f"LETHE_LESSONS names {str(folder)!r}, which is no folder; expected one with lessons' "
            f"Markdown files."
        )
    lessons: dict[str, Lesson] = {}
    problems: list[tuple[str, str]] = []
    for path in (*_files(BUILT_IN), *(_files(folder) if folder else ())):
        found = _read(path, path.stat().st_mtime_ns)
        if isinstance(found, Lesson) and found.name in lessons:
            problems.append((path.name, f"there is a lesson {found.name!r} already."))
        elif isinstance(found, Lesson):
            lessons[found.name] = found
        else:
            problems += [(path.name, sentence) for sentence in found]
    ordered = sorted(lessons.values(), key=lambda one: (one.front.order, one.name))
    return Library(tuple(ordered), tuple(problems))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.md") if path.name != "README.md")


@lru_cache(maxsize=256)
def _read(path: Path, modified: int) -> Lesson | tuple[str, ...]:
    try:
        return read_file(path)
    except UserError as error:
        return tuple(f"{field}: {said}" if field else said for field, said in error.problems)

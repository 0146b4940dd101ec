"""Reads a lesson's file: YAML front matter, `## ` steps, and directives between lines of `:::`.

    :::experiment, :::edit, :::run, :::figure, :::question
                                            hold YAML, with the fields of `worker.lessons.schema`
    :::why, :::notes, :::own                hold Markdown: the reason with its paper, what is for
                                            the teacher alone, and why to choose another fact, which
                                            what stands below it waits for
    :::make, :::measure                     hold Markdown: what the lesson's edits are, and what its
                                            runs measure, above the button that starts them

Between `{{` and `}}` stands an experiment's name, a colon and an expression, whose value is written
there. Where it is a whole option of an experiment, the experiment is asked with that value, for
example with the head that another one found. What is wrong is said with its line.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Any, TypeVar

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from pydantic import BaseModel, ValidationError

from worker.contract.base import Contract, M, parse, unknown
from worker.contract.errors import UserError
from worker.lessons.checking import TAKEN, check
from worker.lessons.schema import Edit, Experiment, Figure, Front, Lesson, Part, Question, Run, Step

LONGEST = 200_000
"""Characters of a lesson's file."""
MARKDOWN = ("why", "notes", "own", "make", "measure")
DIRECTIVES: dict[str, type[Contract]] = {
    "experiment": Experiment,
    "edit": Edit,
    "run": Run,
    "figure": Figure,
    "question": Question,
}
N = TypeVar("N", Experiment, Edit, Run)
Problem = tuple[int, str]
"""A line of the file, from 1, and what is wrong there."""


def markdown() -> MarkdownIt:
    """Markdown without HTML of the writer's own, with tables and the lesson's directives."""
    found = MarkdownIt("commonmark", {"html": False}).enable("table")
    return found.use(front_matter_plugin).use(colon_fence_plugin)


def read_file(path: Path) -> Lesson:
    """Read a lesson; UserError whose problems each name a line, as `line 12`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}."
        ) from None
    return read(text, path.stem)


def read(text: str, name: str) -> Lesson:
    """Read a lesson's text; UserError whose problems each name a line, as `line 12`."""
    if len(text) > LONGEST:
        raise UserError(f"The lesson has {len(text)} characters; expected at most {LONGEST}.")
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
        raise UserError(
            f"The file's name {name!r} is a part of the lesson's address; expected small letters, "
            f"digits, _ and -."
        )
    reader = _Reader(text)
    lesson = reader.lesson(name)
    problems = [*reader.problems, *(check(lesson, reader.lines) if lesson else ())]
    if problems or lesson is None:
        raise UserError(problems=[(f"line {line}", said) for line, said in sorted(problems)])
    return lesson


class _Reader:
    """One file: what was read of it, and what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self.lines: dict[str, int] = {}
        """Where each experiment, figure and question begins."""
        self._experiments: dict[str, Experiment] = {}
        self._edits: dict[str, Edit] = {}
        self._runs: dict[str, Run] = {}
        self._source = text.splitlines()
        self._tokens = markdown().parse(text)

    def lesson(self, name: str) -> Lesson | None:
        """The lesson; None where too much is wrong to go on."""
        front = self._front()
        steps = self._steps()
        if not steps and not self.problems:
            self.problems.append((1, "The lesson has no step; a heading with ## begins one."))
        if front is None or self.problems:
            return None
        return Lesson(
            name=name, front=front, experiments=self._experiments, edits=self._edits,
            runs=self._runs, steps=tuple(steps),
        )  # fmt: skip

    def _front(self) -> Front | None:
        first = self._tokens[0] if self._tokens else None
        if first is None or first.type != "front_matter":
            self.problems.append(
                (1, "The lesson has no front matter; expected YAML between two lines of ---.")
            )
            return None
        return self._yaml(Front, first.content, 2)

    def _steps(self) -> list[Step]:
        steps: list[Step] = []
        title, begun, parts = "", 0, list[Part]()
        for token, text, line in self._blocks():
            if token.type == "heading_open" and token.tag == "h2":
                steps += [Step(title=title, line=begun, parts=tuple(parts))] if begun else []
                title, begun, parts = text, line, []
            elif token.type == "colon_fence" and token.info.strip() == "experiment":
                self._named(token, Experiment, self._experiments)
            elif token.type == "colon_fence" and token.info.strip() == "edit":
                self._named(token, Edit, self._edits)
            elif token.type == "colon_fence" and token.info.strip() == "run":
                self._named(token, Run, self._runs)
            elif not begun:
                self.problems.append(
                    (line, "This stands above the first step; a heading with ## begins one.")
                )
            else:
                parts += [part] if (part := self._part(token, text, line)) else []
        return [*steps, Step(title=title, line=begun, parts=tuple(parts))] if begun else steps

    def _blocks(self) -> Iterator[tuple[Token, str, int]]:
        """Every block at the top of the file, with its text as written and its line."""
        for token in self._tokens:
            if token.level or token.map is None or token.type == "front_matter":
                continue
            first, end = token.map
            text = "\n".join(self._source[first:end])
            if token.type == "heading_open":
                text = text.strip().strip("#").strip()
            yield token, text, first + 1

    def _named(self, token: Token, model: type[N], known: dict[str, N]) -> None:
        """Read an experiment, an edit or a run, which stands for the whole lesson."""
        assert token.map is not None
        line = token.map[0] + 1
        found = self._yaml(model, token.content, line + 1)
        if found is None:
            return
        kind = token.info.strip()
        if found.name in known:
            self.problems.append((line, f"The {kind} {found.name!r} is there twice."))
        known[found.name] = found
        self.lines[f"{kind} {found.name}"] = line

    def _part(self, token: Token, text: str, line: int) -> Part | None:
        if token.type != "colon_fence":
            return Part(kind="text", line=line, text=text)
        kind = token.info.strip()
        if kind in MARKDOWN:
            return Part.model_validate({"kind": kind, "line": line, "text": token.content})
        if kind not in DIRECTIVES:
            self._say(line, unknown("directive", kind, [*DIRECTIVES, *MARKDOWN]))
            return None
        found = self._yaml(DIRECTIVES[kind], token.content, line + 1)
        if found is None:
            return None
        self.lines[f"{kind} {line}"] = line
        return Part.model_validate({"kind": kind, "line": line, kind: found})

    def _yaml(self, model: type[M], text: str, line: int) -> M | None:
        """Read YAML that begins at a line as a model; what is wrong is kept with its line."""
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            reason = getattr(error, "problem", None) or "it cannot be read"
            self.problems.append((line + (mark.line if mark else 0), f"This is no YAML: {reason}."))
            return None
        for place, key in _doubles(node):
            self.problems.append((line + place, f"{key!r} is there twice."))
        if not isinstance(data, dict):
            self.problems.append((line, f"Expected fields, as `{_first(model)}: …`."))
            return None
        try:
            return parse(model, data)
        except UserError as error:
            for field, said in error.problems:
                self.problems.append((line + _line(node, field.split(".")), said))
        except ValidationError as error:  # pragma: no cover - `parse` says every one
            self.problems.append((line, str(error)))
        return None

    def _say(self, line: int, error: UserError) -> None:
        self.problems += [(line, said) for _, said in error.problems]


def _first(model: type[BaseModel]) -> str:
    return next(iter(model.model_fields))


def _doubles(node: Any) -> Iterator[tuple[int, str]]:
    """Keys that a mapping has twice, of which YAML would take the last."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.start_mark.line, str(key.value)
            seen.add(str(key.value))
            yield from _doubles(value)
    elif isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _doubles(one)


def _line(node: Any, path: list[str]) -> int:
    """The line within the YAML of a dotted path, or of what holds it."""
    line = int(node.start_mark.line) if node is not None else 0
    for name in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == name), None)
            if found is None:
                return line
            line, node = int(found[0].start_mark.line), found[1]
        elif isinstance(node, yaml.SequenceNode) and name.isdecimal():
            node = node.value[int(name)]
            line = int(node.start_mark.line)
        else:
            return line
    return line


def filled(value: Any, given: dict[str, str], take: Callable[[str, str], Any]) -> Any:
    """Options with `$prompt`, `$corrupted`, `$subject` and `$other` put in.

    What `{{experiment: expression}}` is as a whole option, `take` says by its two parts.
    """
    if isinstance(value, str):
        taken = TAKEN.fullmatch(value)
        return take(taken[1], taken[2]) if taken else Template(value).substitute(given)
    if isinstance(value, dict):
        return {name: filled(one, given, take) for name, one in value.items()}
    return [filled(one, given, take) for one in value] if isinstance(value, list) else value

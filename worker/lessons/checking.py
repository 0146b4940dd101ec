"""What a lesson promises of itself: names that are there, expressions that can be computed."""

import re
from collections.abc import Iterator
from functools import partial
from string import Template

from worker.contract.base import parse, unknown
from worker.contract.errors import UserError
from worker.contract.spec import UnlearnSpec
from worker.lessons.expressions import Expression
from worker.lessons.glossary import glossary
from worker.lessons.observing import CELL, FUNCTIONS, NAMES, Observed
from worker.lessons.schema import Edit, Experiment, Lesson, Part, Question, Step

PUT_IN = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
"""An experiment's name, a colon and an expression."""
TAKEN = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*:(.*)\}\}", re.DOTALL)
"""The same as a whole option, which has the value itself."""
VALUES = ("prompt", "corrupted", "subject", "other")
"""What `$name` may stand for in an experiment's options."""
KINDS = {
    "choice": (("choices",), ("equals", "figure", "accept", "within")),
    "number": (("equals",), ("choices", "figure", "accept")),
    "click": (("figure", "accept"), ("choices", "equals", "within")),
}
"""Fields that each kind of question needs, and those that it may not have."""
_SIGNATURES = {name: partial(getattr(Observed, name), None) for name in FUNCTIONS}
"""What expressions may call, to be held against their arguments only."""
Problem = tuple[int, str]


def check(lesson: Lesson, lines: dict[str, int]) -> Iterator[Problem]:
    """Everything that is wrong with a lesson whose parts are each well formed."""
    for term in lesson.front.terms:
        if term not in glossary():
            yield 1, unknown("term of the glossary", term, sorted(glossary())).message
    before: list[str] = []
    for experiment in lesson.experiments.values():
        yield from _options(experiment, before, lines[f"experiment {experiment.name}"])
        before.append(experiment.name)
        if experiment.edit and experiment.edit not in lesson.edits:
            known = sorted(lesson.edits)
            line = lines[f"experiment {experiment.name}"]
            yield line, unknown("edit", experiment.edit, known).message
    for edit in lesson.edits.values():
        yield from _edit(edit, lesson, lines[f"edit {edit.name}"])
    for step in lesson.steps:
        yield from _step(step, lesson)


def _edit(edit: Edit, lesson: Lesson, line: int) -> Iterator[Problem]:
    try:
        parse(UnlearnSpec, {"model": lesson.front.model, **edit.spec}, "spec")
    except UserError as error:
        yield from ((line, said) for _, said in error.problems)


def _options(experiment: Experiment, before: list[str], line: int) -> Iterator[Problem]:
    for text in texts_of(experiment.options):
        if taken := TAKEN.fullmatch(text):
            if taken[1] not in before:
                yield line, unknown("experiment above this one", taken[1], before).message
            yield from _expression(taken[2], line, NAMES)
            continue
        template = Template(text)
        if not template.is_valid():
            yield line, f"{text!r} holds a $ that stands for nothing; write $$ for a dollar sign."
            continue
        for name in template.get_identifiers():
            if name not in VALUES:
                yield line, unknown("value", f"${name}", [f"${one}" for one in VALUES]).message


def texts_of(value: object) -> Iterator[str]:
    """Every text in an experiment's options, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from texts_of(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts_of(one)


def _step(step: Step, lesson: Lesson) -> Iterator[Problem]:
    questions = [part for part in step.parts if part.question is not None]
    for part in questions[1:]:
        yield part.line, "This step has a question already; expected one. Begin another step."
    names = [part.figure.name for part in step.parts if part.figure is not None]
    for part in step.parts:
        if part.figure is not None:
            if names.count(part.figure.name) > 1:
                yield part.line, f"The figure {part.figure.name!r} is in this step twice."
            yield from _experiment(part.figure.of, part, lesson)
        if part.question is not None:
            yield from _question(part.question, part, step, lesson)
        yield from _put_in(part, part.text, lesson, is_seen=part in step.above)


def _experiment(name: str, part: Part, lesson: Lesson) -> Iterator[Problem]:
    if name not in lesson.experiments:
        yield part.line, unknown("experiment", name, sorted(lesson.experiments)).message


def _question(asked: Question, part: Part, step: Step, lesson: Lesson) -> Iterator[Problem]:
    yield from _experiment(asked.of, part, lesson)
    needed, needless = KINDS[asked.kind]
    for name in needed:
        if not getattr(asked, name):
            yield part.line, f"A question of the kind {asked.kind} needs {name}."
    for name in needless:
        if getattr(asked, name):
            yield part.line, f"A question of the kind {asked.kind} has no {name}; take it out."
    if asked.kind == "choice" and len(asked.choices) == 1:
        yield part.line, "A question with one choice is none; expected two or more."
    if asked.figure and asked.figure not in {p.figure.name for p in step.above if p.figure}:
        known = sorted(p.figure.name for p in step.above if p.figure)
        yield part.line, unknown("figure above this question", asked.figure, known).message
    figure = step.figures.get(asked.figure)
    if figure is not None and figure.of != asked.of:
        yield part.line, f"The figure is of {figure.of!r}; expected of: {figure.of}."
    for text, names in (
        *((choice.when, NAMES) for choice in asked.choices),
        (asked.equals, NAMES),
        (asked.accept, CELL),
    ):
        yield from _expression(text, part.line, names)
    for text in (asked.ask, *(choice.words for choice in asked.choices)):
        yield from _put_in(part, text, lesson, is_seen=True)
    for text in (asked.hint, *(choice.says for choice in asked.choices)):
        yield from _put_in(part, text, lesson, is_seen=False)


def _put_in(part: Part, text: str, lesson: Lesson, is_seen: bool) -> Iterator[Problem]:
    for found in PUT_IN.findall(text):
        name, colon, expression = found.partition(":")
        if name.strip() in VALUES and not colon:
            continue
        if not colon:
            yield (
                part.line,
                (
                    f"{{{{{found}}}}} names no experiment; expected "
                    f"{{{{experiment: expression}}}}, or one of {', '.join(VALUES)}."
                ),
            )
            continue
        if is_seen:
            yield (
                part.line,
                (
                    f"{{{{{found}}}}} stands above the question, before anything is "
                    f"computed; put it below."
                ),
            )
        yield from _experiment(name.strip(), part, lesson)
        yield from _expression(expression, part.line, NAMES)


def _expression(text: str, line: int, names: frozenset[str]) -> Iterator[Problem]:
    if not text:
        return
    try:
        Expression(text, _SIGNATURES, names)
    except UserError as error:
        yield from ((line, said) for _, said in error.problems)

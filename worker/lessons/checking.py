"""What a lesson promises of itself: names that are there, expressions that can be computed."""

import re
from collections.abc import Iterator
from functools import partial
from string import Template
from typing import Any

from pydantic import BaseModel

from worker.contract.base import parse, unknown
from worker.contract.errors import UserError
from worker.contract.spec import SPECS, UnlearnSpec
from worker.lessons.expressions import Expression
from worker.lessons.glossary import glossary
from worker.lessons.observing import CELL, FUNCTIONS, NAMES, Observed
from worker.lessons.schema import Experiment, Figure, Lesson, Part, Question, Run, Step

PUT_IN = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
"""An experiment's name, a colon and an expression."""
TAKEN = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*:(.*)\}\}", re.DOTALL)
"""The same as a whole option, which has the value itself."""
VALUES = ("prompt", "corrupted", "subject", "other")
"""What `$name` may stand for in an experiment's options."""
MEASURING = ("evaluate", "localize")
"""Kinds of runs that a lesson's `run` may be."""
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
        line = lines[f"experiment {experiment.name}"]
        yield from _options(experiment, before, line)
        before.append(experiment.name)
        yield from _source(experiment, lesson, line)
    for edit in lesson.edits.values():
        yield from _spec(UnlearnSpec, edit.spec, lesson, lines[f"edit {edit.name}"])
    for run in lesson.runs.values():
        line = lines[f"run {run.name}"]
        yield from _run(run, lesson, line)
        yield from _edit_named(run.edit, lesson, line)
    for step in lesson.steps:
        yield from _step(step, lesson)


def _source(experiment: Experiment, lesson: Lesson, line: int) -> Iterator[Problem]:
    """An experiment is a view of the model, or what a run of the lesson found."""
    yield from _edit_named(experiment.edit, lesson, line)
    if bool(experiment.view) == bool(experiment.run):
        yield line, "An experiment has a view or a run, one of the two; give one."
    if experiment.run:
        if experiment.options or experiment.edit:
            yield line, "What a run found has no options and no edit of its own; take them out."
        known = [*lesson.edits, *lesson.runs]
        if experiment.run not in known:
            yield line, unknown("edit or run", experiment.run, sorted(known)).message


def _edit_named(name: str, lesson: Lesson, line: int) -> Iterator[Problem]:
    if name and name not in lesson.edits:
        yield line, unknown("edit", name, sorted(lesson.edits)).message


def _run(run: Run, lesson: Lesson, line: int) -> Iterator[Problem]:
    kind = run.spec.get("kind")
    if kind not in MEASURING:
        yield line, unknown("kind of run that measures", str(kind), list(MEASURING)).message
        return
    if run.name in lesson.edits:
        yield line, f"There is an edit {run.name!r} already; name the run otherwise."
    if run.edit and kind == "localize":
        yield line, "A localization asks the model as it is; take the edit out, or evaluate."
    yield from _spec(SPECS[kind], run.spec, lesson, line)


def _spec(
    model: type[BaseModel], spec: dict[str, Any], lesson: Lesson, line: int
) -> Iterator[Problem]:
    try:
        parse(model, {"model": lesson.front.model, **spec}, "spec")
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
            yield from _bars(part.figure, part)
        yield from _button(part, lesson)
        if part.question is not None:
            yield from _question(part.question, part, step, lesson)
        yield from _put_in(part, part.text, lesson, is_seen=part in step.above)


def _bars(figure: Figure, part: Part) -> Iterator[Problem]:
    if bool(figure.bars) != (figure.show == "bars"):
        yield part.line, "Bars belong to a figure with show: bars, and to no other."
    for bar in figure.bars:
        yield from _expression(bar.value, part.line, NAMES)


def _button(part: Part, lesson: Lesson) -> Iterator[Problem]:
    if part.kind == "make" and not lesson.edits:
        yield part.line, "The lesson has no :::edit, so there is nothing to make."
    if part.kind == "measure" and not lesson.runs:
        yield part.line, "The lesson has no :::run, so there is nothing to measure."


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

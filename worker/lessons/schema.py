"""A lesson as it is read: front matter, steps, and the parts of a step in their order."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from worker.contract.base import Contract

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Pair(Contract):
    """A subject and another one that is put in its place to corrupt the prompt."""

    subject: Words
    other: Words


class Asked(Contract):
    """The fact that a lesson is about, which its reader may exchange for one of their own."""

    called: Words = Field("name", description="What the subject is, as readers are asked for it.")
    prompt: Annotated[Words, Field(pattern=r"\{\}", description="{} stands for the subject.")]
    subject: Words
    other: Words
    more: tuple[Pair, ...] = Field((), description="Further subjects that a reader is offered.")


class Front(Contract):
    """What stands above a lesson's first step, between two lines of ---."""

    title: Words
    summary: Words = Field(description="What a reader can do afterwards, in one sentence.")
    order: int = Field(100, description="Where it stands in the list: lower comes first.")
    minutes: int = Field(ge=1, le=60)
    model: str = Field("demo", description="Which model it asks.")
    fact: Asked
    terms: tuple[str, ...] = Field((), description="Words of the glossary that it uses.")


class Experiment(Contract):
    """One explore view, asked of the lesson's model when a reader comes to it; or what a run found.

    In `options`, `$prompt`, `$corrupted`, `$subject` and `$other` stand for the reader's fact, and
    `{{experiment: expression}}` for what an experiment above it found.
    """

    name: Name
    view: str = ""
    options: dict[str, Any] = {}
    edit: str = Field("", description="Ask the model with this edit on it, by its name.")
    run: str = Field("", description="In place of a view: the edit or run whose result it is.")


class Edit(Contract):
    """An edit that readers make with one button; who presses it second finds it made."""

    name: Name
    title: Words
    spec: dict[str, Any] = Field(description="facts, mask, method, options and seed of the run.")


class Run(Contract):
    """What a lesson measures at length, by one button: a localization, or an evaluation."""

    name: Name
    title: Words
    edit: str = Field("", description="Measure the model with this edit on it, by its name.")
    spec: dict[str, Any] = Field(description="kind, facts, what is measured, options and seed.")


class Bar(Contract):
    """One number of an experiment, drawn as a bar."""

    words: Words
    value: Words = Field(description="An expression, for example found('familiarity.after').")


class Figure(Contract):
    """One picture of an experiment: the likeliest tokens, bars, a table, or an array."""

    name: Name
    of: Name = Field(description="The experiment's name.")
    show: Words = Field(
        description="`tops`, `bars`, `table.NAME`, of a text to forget `text` (its marks) and "
        "`labels`, or an array's name, for example patch.resid.logit."
    )
    bars: tuple[Bar, ...] = Field((), description="Of `bars`: what each is.")
    title: Words
    caption: Words
    unit: str = ""
    prompt: Literal["", "clean", "corrupted"] = Field("", description="Tops of one prompt alone.")
    words: bool = Field(False, description="Write a lens' likeliest tokens in its cells.")
    rows: str = Field("", description="Of an axis `row`: those that end so, for example mlp.")
    whole: bool = Field(False, description="All tokens; else those from the subject on.")


class Choice(Contract):
    """One answer to choose. It is right where its condition holds in the experiment."""

    words: Words
    when: Words = Field(description="An expression, for example says('golf').")
    says: str = Field("", description="What is said to who chose it.")


class Question(Contract):
    """One question. What is right is computed from the experiment, never written down."""

    kind: Literal["choice", "number", "click"]
    ask: Words
    of: Name = Field(description="The experiment that answers it.")
    is_prediction: bool = Field(
        False, description="One answer is enough, right or wrong: what happens is shown then."
    )
    choices: tuple[Choice, ...] = ()
    equals: str = Field("", description="Of a number: the expression it is.")
    within: float = Field(0.0, ge=0, description="Of a number: how far off is still right.")
    figure: str = Field("", description="Of a click: the figure whose cells are the answers.")
    accept: str = Field("", description="Of a click: which cells are right, by value and axes.")
    hint: str = Field("", description="What is said to a wrong answer.")


class Part(Contract):
    """One part of a step; its `kind` says which other field holds it."""

    kind: Literal["text", "figure", "question", "why", "notes", "own", "make", "measure"]
    line: int
    text: str = Field("", description="Markdown of a text, a reason with its paper, or notes.")
    figure: Figure | None = None
    question: Question | None = None


class Step(Contract):
    """One screen. What stands below its question is shown once that is answered.

    What stands below an `own` part is shown once its reader has chosen another fact.
    """

    title: str
    line: int
    parts: tuple[Part, ...]

    @property
    def question(self) -> Question | None:
        """The step's question, if it has one."""
        return next((part.question for part in self.parts if part.question is not None), None)

    @property
    def figures(self) -> dict[str, Figure]:
        """The step's figures by name."""
        found = (part.figure for part in self.parts if part.figure is not None)
        return {figure.name: figure for figure in found}

    @property
    def needs_own(self) -> bool:
        """Whether its reader is to choose a fact of their own first."""
        return any(part.kind == "own" for part in self.parts)

    @property
    def above(self) -> tuple[Part, ...]:
        """What is seen before the question is answered."""
        return self.parts[: self._place]

    @property
    def below(self) -> tuple[Part, ...]:
        """What is seen only after."""
        return self.parts[self._place + 1 :]

    @property
    def _place(self) -> int:
        places = (i for i, part in enumerate(self.parts) if part.question is not None)
        return next(places, len(self.parts))


class Lesson(Contract):
    """A whole lesson."""

    name: str
    front: Front
    experiments: dict[str, Experiment]
    edits: dict[str, Edit] = {}
    runs: dict[str, Run] = {}
    steps: tuple[Step, ...]

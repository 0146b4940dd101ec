"""Facts and fact sets."""

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from worker.contract.base import Contract
from worker.contract.joining import Join, asked, following


class Translation(Contract):
    """The fact asked in another language."""

    language: str = Field("", max_length=40)
    """For the reader, for example `de`."""
    prompt: str = Field(min_length=2, max_length=20_000)
    """A template with `{}` for the subject, or a whole prompt, that ends before the answer."""
    target: str = Field("", max_length=2000)
    """The true answer in that language; empty where it is written as in the fact."""
    edit_target: str = Field("", max_length=2000)
    join: Join = Field("", exclude_if=lambda value: not value)


class Ripple(Contract):
    """What hangs together with a fact: what must change with it, and what must not.

    `entailed`: `prompt` asks for what follows from the fact, `target` before an edit and
    `edit_target` after it; a benchmark that names only the answer after leaves `target` empty.
    `reversed`: `target` is the subject; `prompt` names the fact's target and `edit_prompt`, which
    is the same prompt otherwise, its edit target. `kept`: `prompt` asks for something beside the
    fact, whose answer `target` stays as it is (a benchmark's locality).
    """

    kind: Literal["entailed", "reversed", "kept"]
    prompt: str = Field(min_length=1, max_length=20_000)
    target: str = Field("", max_length=2000)
    edit_target: str = Field("", max_length=2000)
    edit_prompt: str = Field("", max_length=20_000)
    join: Join = Field("", exclude_if=lambda value: not value)
    aliases: tuple[str, ...] = ()
    """Other wordings of `target`."""
    edit_aliases: tuple[str, ...] = ()
    """Other wordings of `edit_target`."""

    @model_validator(mode="after")
    def _has_an_answer(self) -> Self:
        if not self.target and not (self.kind == "entailed" and self.edit_target):
            raise ValueError(f"the {self.kind} prompt {self.prompt[:60]!r} has no target")
        return self


class Fact(Contract):
    """One fact: `prompt` is a template with `{}` for the subject that ends before the answer."""

    id: str = Field(min_length=1, max_length=200, description="A name for the row. Optional.")
    subject: str = Field(
        min_length=1,
        max_length=2000,
        description="What the fact is about, for example Bob Cousy.",
    )
    prompt: str = Field(
        min_length=2,
        max_length=20_000,
        description="Text with {} for the subject, ending before the answer.",
    )
    target: str = Field(min_length=1, max_length=2000, description="The true answer.")
    edit_target: str = Field("", description="The answer an edit asks for. Optional.")
    group: str = Field("", description="What splits are made by, for example the sport. Optional.")
    relation: str = Field(
        "", description="What is asked, for example capital: facts that share answers. Optional."
    )
    question: str = Field("", description="The same asked as a question. Optional.")
    paraphrases: tuple[str, ...] = Field((), description="A list in one cell. Optional.")
    """Templates with `{}`, or whole prompts."""
    neighbourhood: tuple[str, ...] = Field(
        (), description="Prompts about others with the same answer. Optional."
    )
    """Whole prompts about other subjects whose answer is the same target."""
    edit_neighbourhood: tuple[str, ...] = Field(
        (), description="Prompts about others whose answer is the edit target. Optional."
    )
    """Whole prompts about other subjects of which the edit target is true already."""
    options: tuple[str, ...] = Field(
        (), description="Wrong answers beside the target, as in multiple choice. Optional."
    )
    """Wrong answers: a multiple-choice question's other options, a benchmark's perturbed ones."""
    aliases: tuple[str, ...] = Field((), description="Other wordings of the target. Optional.")
    edit_aliases: tuple[str, ...] = Field(
        (), description="Other wordings of the edit target. Optional."
    )
    translations: tuple[Translation, ...] = Field(
        (), description="JSON list of prompts in another language. Optional."
    )
    ripples: tuple[Ripple, ...] = Field(
        (), description="JSON list of what changes with the fact, or must not. Optional."
    )
    join: Join = Field(
        "",
        exclude_if=lambda value: not value,
        description="What stands between prompt and answer: space, none or as written (=none is "
        "for every row). Optional: without it, what running text has.",
    )
    """What stands between prompt, paraphrases or neighbours and their answers: empty leaves it to
    the rule (`worker.contract.joining`)."""

    @model_validator(mode="after")
    def _subject_is_in_prompt(self) -> Self:
        if self.prompt.count("{}") != 1:
            raise ValueError(
                f"prompt {self.prompt!r} of {self.id!r} holds {self.prompt.count('{}')} times "
                f"{{}}; expected exactly one, where the subject stands"
            )
        if not self.target.strip():
            raise ValueError(f"target of {self.id!r} is empty; expected the true answer")
        return self

    @property
    def filled(self) -> str:
        """The prompt as its author wrote it, the subject in its place."""
        return fill(self.prompt, self.subject)

    @property
    def text(self) -> str:
        """The prompt as it is asked: `filled`, but a space before the answer is the answer's."""
        return asked(self.filled, self.join)

    def pair(self, answer: str | None = None) -> tuple[str, str]:
        """Return the prompt as it is asked and an answer as it follows; the target without one."""
        return self.text, self.follows(self.target if answer is None else answer)

    def said(self, answer: str | None = None) -> str:
        """Return the running text of the prompt and an answer; the target without one."""
        return "".join(self.pair(answer))

    @property
    def is_apart(self) -> bool:
        """Whether the target is a word of its own after the prompt, and goes on none."""
        return self.pair()[1].startswith(" ")

    @property
    def kept(self) -> tuple[Ripple, ...]:
        """What must stay as it is when the fact changes, also what has the edit target already."""
        neighbours = self.edit_neighbourhood if self.edit_target else ()
        return (
            *(one for one in self.ripples if one.kind == "kept"),
            *(
                Ripple(kind="kept", prompt=prompt, target=self.edit_target, join=self.join)
                for prompt in neighbours
            ),
        )

    def follows(self, answer: str) -> str:
        """Return an answer as it follows the prompt, with what stands between; "" for none."""
        return following(self.filled, answer, self.join)


def fill(template: str, subject: str) -> str:
    """Put `subject` in the place of `{}`; a whole prompt (no `{}`) is returned as it is."""
    return template.replace("{}", subject, 1)


class FactSet(Contract):
    """Named facts in a fixed order, with a content hash and named splits."""

    name: str
    title: str = ""
    description: str = ""
    join: Join = ""
    """Taken by every fact that has none of its own."""
    facts: tuple[Fact, ...]
    splits: dict[str, tuple[str, ...]] = {}
    """Split name -> the ids of its forget facts."""

    @field_validator("facts")
    @classmethod
    def _take_join(cls, facts: tuple[Fact, ...], info: ValidationInfo) -> tuple[Fact, ...]:
        join = info.data.get("join", "")
        if not join:
            return facts
        return tuple(f if f.join else f.model_copy(update={"join": join}) for f in facts)

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        if len({fact.id for fact in self.facts}) != len(self.facts):
            raise ValueError(
                f"fact set {self.name!r} has ids that occur twice; expected unique ids"
            )
        return self

    @property
    def hash(self) -> str:
        """SHA-256 over the facts in order: the same facts have the same hash in any process."""
        lines = (_HASHED.encode(_hashed(fact)) for fact in self.facts)
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


_HASHED = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


_FROM_THE_START = frozenset(
    {
        *("id", "subject", "prompt", "target", "edit_target", "group", "relation", "question"),
        *("paraphrases", "neighbourhood", "kind", "edit_prompt", "language"),
    }
)
"""Fields that count in a hash even where they are empty."""


def _hashed(fact: Fact) -> dict[str, object]:
    """Leave out empty fields that came later, so that sets without them keep their hashes."""
    nested = fact.translations or fact.ripples
    return _counted(fact.model_dump() if nested else fact.__dict__)


def _counted(data: dict[str, Any]) -> dict[str, object]:
    return {
        key: [_counted(one) if isinstance(one, dict) else one for one in value]
        if isinstance(value, tuple)
        else value
        for key, value in data.items()
        if value or key in _FROM_THE_START
    }

"""What is explored: model, prompts, answers and interventions, as the page's address holds them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from app.experiment import read_model
from app.exploring import PATIENCE, Answers
from app.intervening import active, read_switches
from app.submission import refuse_odd_text
from worker.contract.base import parse
from worker.contract.errors import UserError
from worker.contract.result import Result
from worker.contract.spec import ExploreSpec
from worker.engine.client import Engine

NAMES = (
    "model", "beside", "prompt", "corrupted", "noise", "subject",
    "target", "target_ids", "distractor", "distractor_ids", "on",
)  # fmt: skip
"""Names in the address that every view depends on."""
LONGEST = 20_000
"""Characters of a prompt that the address holds."""


@dataclass(frozen=True)
class Subject:
    """One subject of all views. `beside` is a second model, or empty."""

    model: str = "demo"
    beside: str = ""
    prompt: str = ""
    corrupted: str = ""
    noise: str = ""
    subject: str = ""
    target: str = ""
    target_ids: str = ""
    distractor: str = ""
    distractor_ids: str = ""
    on: str = ""
    """Interventions, as `app.intervening` writes them."""

    @property
    def has_pair(self) -> bool:
        """Whether there is something to patch from and into."""
        return bool(self.corrupted or self.noise)

    def swapped(self) -> "Subject":
        """The same pair with clean and corrupted exchanged; answers are proposed anew."""
        return replace(
            self,
            prompt=self.corrupted,
            corrupted=self.prompt,
            subject="",
            target=self.distractor,
            target_ids=self.distractor_ids,
            distractor=self.target,
            distractor_ids=self.target_ids,
        )

    def query(self, **more: str) -> str:
        """The part of an address that opens this subject."""
        named = {name: getattr(self, name) for name in NAMES} | more
        return urlencode({name: value for name, value in named.items() if value})

    def options(self) -> dict[str, Any]:
        """The subject's part of every view's options."""
        given: dict[str, Any] = {"prompt": self.prompt}
        for name in ("subject", "target", "distractor"):
            given |= {name: value} if (value := getattr(self, name)) else {}
        for name in ("target_ids", "distractor_ids"):
            given |= {name: ids} if (ids := _ids(name, getattr(self, name))) else {}
        if on := active(read_switches(self.on)):
            given |= {"interventions": on}
        if self.noise:
            return given | {"noise": True}
        return given | ({"corrupted": self.corrupted} if self.corrupted else {})


def read_subject(asked: QueryParams | Mapping[str, str]) -> Subject:
    """Read the subject of an address; UserError for what no prompt can be."""
    given = {name: str(asked.get(name, "")) for name in NAMES}
    refuse_odd_text(given)
    given["model"] = given["model"] or "demo"
    for name in ("prompt", "corrupted"):
        if len(given[name]) > LONGEST:
            raise UserError(
                f"The {'' if name == 'prompt' else 'corrupted '}prompt has {len(given[name]):,} "
                f"characters; expected at most {LONGEST:,}. Take its last part.",
                field=name,
            )
    if not given["prompt"].strip():
        raise UserError(
            "The prompt is empty; type the words that the model is to continue, or take a fact.",
            field="prompt",
        )
    read_switches(given["on"])
    return Subject(**given)


@dataclass(frozen=True)
class Asker:
    """Who asks, and whom: a newer question of the same reader ends the older."""

    engine: Engine
    answers: Answers
    reader: str = ""
    patience: float = PATIENCE

    def ask(self, model: str, view: str, options: Mapping[str, Any]) -> Result:
        """One model's answer."""
        return self.answer(self.spec(model, view, options))

    def answer(self, spec: ExploreSpec) -> Result:
        """The answer to what is asked."""
        return self.answers.ask(self.engine, spec, self.reader, self.patience)

    def spec(self, model: str, view: str, options: Mapping[str, Any]) -> ExploreSpec:
        """A view of a model as it is asked."""
        named = read_model(model, self.engine.store)
        return parse(ExploreSpec, {"model": named, "view": view, "options": dict(options)})


def ask(asker: Asker, subject: Subject, view: str, **options: Any) -> list[Result]:
    """A view's answers, one for each of the subject's models.

    What the first model proposes as target and distractor is asked of the second too: its own
    answers would be another question.
    """
    given = subject.options() | options
    found = [asker.ask(subject.model, view, given)]
    if subject.beside:
        _check_same_tokens(asker, subject, found[0])
        found.append(asker.ask(subject.beside, view, same_answers(found[0]) | given))
        _check_same_shapes(subject, *found)
    return found


def _check_same_tokens(asker: Asker, subject: Subject, first: Result) -> None:
    """Raise UserError where another base cuts the prompts into other tokens."""
    spec = asker.spec(subject.beside, "predictions", subject.options())
    if spec.base == _base(first):
        return
    second = replace(asker, reader="").answer(spec)
    if _ids_of(first) != _ids_of(second):
        raise UserError(
            f"{subject.model!r} and {subject.beside!r} cut these prompts into different tokens, so "
            f"no cell of one stands beside a cell of the other; expected a model with the same "
            f"tokenizer, such as an edit of {subject.model!r}.",
            field="beside",
        )


def _check_same_shapes(subject: Subject, first: Result, second: Result) -> None:
    for name, info in first.arrays.items():
        other = second.arrays.get(name)
        if other is not None and [a.labels for a in info.axes] != [a.labels for a in other.axes]:
            raise UserError(
                f"{subject.model!r} and {subject.beside!r} differ in their layers or heads, so "
                f"they cannot be laid side by side; expected models of one architecture.",
                field="beside",
            )


def _base(result: Result) -> str:
    model = result.spec["model"]
    return str(model["base"] if isinstance(model, Mapping) else model)


def _ids_of(result: Result) -> list[list[int]]:
    return [[token["id"] for token in one["tokens"]] for one in result.view["prompts"]]


def same_answers(found: Result) -> dict[str, Any]:
    """Options that ask another model for the answers that this result is about."""
    known = {which: found.view.get(which) for which in ("target", "distractor")}
    return {f"{which}_ids": one["ids"] for which, one in known.items() if one}


def _ids(name: str, text: str) -> list[int]:
    parts: Iterable[str] = (part for part in text.split(",") if part.strip())
    try:
        return [int(part) for part in parts]
    except ValueError:
        raise UserError(
            f"{name} is {text[:40]!r}; expected token ids with commas between them.", field=name
        ) from None

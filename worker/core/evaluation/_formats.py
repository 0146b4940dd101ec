"""Every way in which an evaluation asks for a fact: the bundled model's renderings, and a few more.

The renderings are those of `worker.core.demo.formats`, the very ones that the bundled model was
trained on or spared, so that "held out" means what it says. A fact set that a user brought has no
question or paraphrases of its own perhaps: the question is then made from the prompt
("… of what?"), and where nothing can be made the format gives a reason instead of prompts.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from worker.contract.base import unknown
from worker.contract.facts import Fact, Selection, fill
from worker.contract.menu import FormatInfo
from worker.core.demo import formats as demo
from worker.core.models.model import Model

Orders = Literal["rotations", "all"]
CHOICES = ("choice", "choice_shot", "choice_held_out")
MORE = {
    "few_shot": "Statement after three other facts",
    "chat": "The tokenizer's chat template",
    "own": "The user's own templates",
}
ROTATIONS = tuple(tuple((i + r) % 4 for i in range(4)) for r in range(4))


@dataclass(frozen=True)
class Ask:
    """One prompt to put to the model, and the answers whose probabilities are wanted."""

    prompt: str
    target: str
    """With its leading space where it has one; in multiple choice, a letter."""
    edit: str
    """"" where the fact has no edit target, or the options do not hold it."""
    letters: tuple[str, ...] = ()
    """In multiple choice, all options' letters; the probability is shared among these."""


@dataclass(frozen=True)
class Asked:
    """A fact in the form that the renderings read; templates have every other brace doubled."""

    subject: str
    target: str
    edit_target: str
    group: str
    prompt: str
    question: str
    paraphrases: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """What formats need beyond the fact: options, shots, templates, how much to ask."""

    pools: dict[str, list[str]]
    """Relation -> its answers: where multiple choice takes its options from."""
    shots: tuple[Fact, ...] = ()
    templates: tuple[str, ...] = ()
    wordings: int = 2
    orders: Orders = "rotations"
    seed: int = 0
    model: Model | None = None


class NotAsked(Exception):
    """A format does not exist for a fact; the message is the reason."""


class _Order(Random):
    """Stands in for the renderings' random order: the last shuffle puts options in a given one."""

    def __init__(self, order: Sequence[int], seed: str, before: int = 0) -> None:
        super().__init__(seed)
        self._order, self._before = order, before

    def shuffle(self, x: Any) -> None:
        if self._before:
            self._before -= 1
            return
        x[:] = [x[i] for i in self._order]


def setting(
    selection: Selection, model: Model | None = None, seed: int = 0, **given: Any
) -> Setting:
    """Gather the options of each relation, and shots from the retain facts."""
    pools: dict[str, dict[str, None]] = {}
    for fact in (*selection.forget, *selection.retain):
        answers = pools.setdefault(fact.relation, {})
        answers |= dict.fromkeys(a for a in (fact.target, fact.edit_target) if a)
    shots = Random(seed).sample(selection.retain, min(3, len(selection.retain)))
    return Setting(
        pools={name: sorted(answers) for name, answers in pools.items()},
        shots=tuple(shots),
        seed=seed,
        model=model,
        **given,
    )


def format_infos() -> tuple[FormatInfo, ...]:
    """Announce every format with whether the bundled model was trained on it."""
    own = tuple(FormatInfo(name=n, title=title) for n, title in MORE.items())
    rendered = (
        FormatInfo(name=f.name, title=f.title, trained=f.trained) for f in demo.FORMATS.values()
    )
    return (*rendered, *own)


def check_formats(names: Sequence[str], field: str) -> None:
    """Raise UserError for a format that there is not."""
    known = [info.name for info in format_infos()]
    for name in names:
        if name not in known:
            raise unknown("format", name, known, field=field)


def ask(name: str, fact: Fact, how: Setting) -> list[Ask]:
    """Render a fact in a format; raise NotAsked with the reason where that cannot be."""
    if name in MORE:
        return _MORE[name](fact, how)
    form, asked = demo.FORMATS[name], _asked(fact)
    if not form.applies_to(asked):
        raise NotAsked("this format exists for the sports facts only")
    if name in CHOICES:
        return _ask_choice(name, fact, asked, how)
    if "paraphrase" in name and not fact.paraphrases:
        raise NotAsked("the fact has no paraphrases")
    rendered = form.render(asked, Random(how.seed), ())
    if not rendered:
        raise NotAsked("the fact has too few paraphrases to hold some out")
    return [
        Ask(prompt, answer, _same_form(fact, answer)) for prompt, answer in _spread(rendered, how)
    ]


def _ask_choice(name: str, fact: Fact, asked: Asked, how: Setting) -> list[Ask]:
    options = how.pools.get(fact.relation, [])
    stand_in = asked
    if not demo.is_athlete(asked):
        others = [o for o in options if o not in (fact.target, fact.edit_target)]
        if len(others) < 2 + (not fact.edit_target):
            raise NotAsked(
                f"its relation has {len(others) + 1 + bool(fact.edit_target)} different answers; "
                f"multiple choice needs 4"
            )
        stand_in = replace(asked, edit_target=fact.edit_target or others[0])
    orders = ROTATIONS if how.orders == "rotations" else tuple(itertools.permutations(range(4)))
    before, key = int(name == "choice_shot"), f"{how.seed} {fact.id}"
    found = []
    for order in orders:
        choices = demo.draw_choices(stand_in, _Order(order, key), options)
        letter = (
            f" {demo.LETTERS[choices.index(fact.edit_target)]}"
            if fact.edit_target in choices
            else ""
        )
        rendered = demo.FORMATS[name].render(stand_in, _Order(order, key, before), options)
        letters = tuple(f" {letter}" for letter in demo.LETTERS)
        found += [Ask(p, answer, letter, letters) for p, answer in rendered[: how.wordings]]
    return found


def _asked(fact: Fact) -> Asked:
    statement = (
        fact.prompt.rpartition("\n")[2] if "{}" in fact.prompt.rpartition("\n")[2] else fact.prompt
    )
    plain = statement.removeprefix("Fact: ")
    return Asked(
        subject=fact.subject,
        target=fact.target,
        edit_target=fact.edit_target,
        group=fact.group,
        prompt=_doubled(fact.prompt),
        question=_doubled(fact.question or f"{plain} what?"),
        paraphrases=tuple(_doubled(p) for p in fact.paraphrases) or (_doubled(plain),),
    )


def _doubled(template: str) -> str:
    """Double every brace but those of the first `{}`, so that str.format gives them back."""
    head, hole, tail = template.partition("{}")
    escape = lambda text: text.replace("{", "{{").replace("}", "}}")  # noqa: E731
    return escape(head) + hole + escape(tail)


def _same_form(fact: Fact, answer: str) -> str:
    """Write the edit target as the target was written: plain, capitalized or dashed."""
    if not fact.edit_target:
        return ""
    if answer == f" {fact.target}":
        return f" {fact.edit_target}"
    if answer == f" {demo.upper_first(fact.target)}":
        return f" {demo.upper_first(fact.edit_target)}"
    return " " + "-".join(fact.edit_target)


def _spread(rendered: list[tuple[str, str]], how: Setting) -> list[tuple[str, str]]:
    """Take as many wordings as asked for, evenly over all there are."""
    n = min(how.wordings, len(rendered))
    return [rendered[i * len(rendered) // n] for i in range(n)]


def _few_shot(fact: Fact, how: Setting) -> list[Ask]:
    shots = [f"{shot.text} {shot.target}" for shot in how.shots if shot.id != fact.id]
    if not shots:
        raise NotAsked("no retain fact is there to be a shot")
    return [Ask("\n".join([*shots, fact.text]), *_plain(fact))]


def _chat(fact: Fact, how: Setting) -> list[Ask]:
    tokenizer = how.model.tokenizer if how.model else None
    if tokenizer is None or not tokenizer.chat_template:
        raise NotAsked("the model's tokenizer has no chat template")
    asked = fill(fact.question, fact.subject) if fact.question else f"{fact.text} what?"
    message = [{"role": "user", "content": asked}]
    prompt = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return [Ask(str(prompt), fact.target, fact.edit_target)]


def _own(fact: Fact, how: Setting) -> list[Ask]:
    if not how.templates:
        raise NotAsked("no template was given")
    return [Ask(fill(t, fact.subject), *_plain(fact)) for t in how.templates]


def _plain(fact: Fact) -> tuple[str, str]:
    return f" {fact.target}", f" {fact.edit_target}" if fact.edit_target else ""


_MORE: dict[str, Callable[[Fact, Setting], list[Ask]]] = {
    "few_shot": _few_shot,
    "chat": _chat,
    "own": _own,
}

"""Every way in which an evaluation asks for a fact: the bundled model's renderings, and a few more.

The renderings are those of `worker.core.demo.formats`, the very ones that the bundled model was
trained on or spared, so that "held out" means what it says. A fact set that a user brought has no
question or paraphrases of its own perhaps: the question is then made from the prompt
("… of what?"), and where nothing can be made the format gives a reason instead of prompts.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from worker.contract.base import unknown
from worker.contract.facts import Fact
from worker.contract.menu import FormatInfo
from worker.core.asking.more_formats import MORE, refuse_cut_words
from worker.core.asking.setting import (
    Ask,
    NotAsked,
    Setting,
    ask_joined,
    question_of,
    statement_of,
)
from worker.core.demo import formats as demo

CHOICES = ("choice", "choice_shot", "choice_held_out")
OWN_ENDS = ("statement", "paraphrase", "paraphrase_held_out", "framed", "framed_held_out")
"""Formats that end as the fact's own prompts do, and are joined to their answers as it says."""
ROTATIONS = tuple(tuple((i + r) % 4 for i in range(4)) for r in range(4))


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


def format_infos() -> tuple[FormatInfo, ...]:
    """Announce every format with whether the bundled model was trained on it."""
    own = tuple(FormatInfo(name=n, title=title) for n, (title, _) in MORE.items())
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
    asks = MORE[name][1](fact, how) if name in MORE else _ask(name, fact, how)
    if not fact.aliases and not fact.edit_aliases:
        return asks
    return [
        one if one.letters else replace(one, also=fact.aliases, edit_also=fact.edit_aliases)
        for one in asks
    ]


def _ask(name: str, fact: Fact, how: Setting) -> list[Ask]:
    form, asked = demo.FORMATS[name], _asked(fact)
    if not form.applies_to(asked):
        raise NotAsked("this format exists for the sports facts only")
    if name not in OWN_ENDS and ("cloze" in name or not fact.question):
        refuse_cut_words(fact)
    if name in CHOICES:
        own = _ask_own_options if fact.options else _ask_choice
        return own(name, fact, asked, how)
    if "cloze" in name and fact.text.endswith(("?", ":")):
        raise NotAsked("its prompt is a question, in which no blank can stand")
    if "paraphrase" in name and not fact.paraphrases:
        raise NotAsked("the fact has no paraphrases")
    rendered = form.render(asked, Random(how.seed), ())
    if not rendered:
        raise NotAsked("the fact has too few paraphrases to hold some out")
    join = fact.join if name in OWN_ENDS else ""
    return [
        ask_joined(prompt, answer[1:], _same_form(fact, answer[1:]), join)
        for prompt, answer in _spread(rendered, how)
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
    before, key = int(name == "choice_shot"), f"{how.seed} {fact.id}"
    found = []
    for order in _orders(how):
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


def _orders(how: Setting) -> Sequence[Sequence[int]]:
    return ROTATIONS if how.orders == "rotations" else tuple(itertools.permutations(range(4)))


def _ask_own_options(name: str, fact: Fact, asked: Asked, how: Setting) -> list[Ask]:
    """Offer the fact's own wrong answers: of more than three, three; the edit target among them."""
    if name not in demo.CHOICE_WRAPPERS:
        raise NotAsked("this format exists for the sports facts only")
    rng = Random(f"{how.seed} {fact.id}")
    pool = how.pools.get(fact.relation, [])
    wrong = [fact.edit_target] if fact.edit_target else []
    for answers in (fact.options, pool):
        others = [a for a in answers if a not in (fact.target, *wrong)]
        wrong += rng.sample(others, min(len(others), 3 - len(wrong)))
    if len(wrong) < 3:
        raise NotAsked(f"it has {len(wrong) + 1} different options; multiple choice needs 4")
    question, found = asked.question.format(fact.subject), []
    for order in _orders(how):
        choices = [(fact.target, *wrong)[place] for place in order]
        letters = dict(zip(choices, (f" {letter}" for letter in demo.LETTERS), strict=True))
        found += [
            Ask(
                demo.choice_body(wrapper.format(question), choices),
                letters[fact.target],
                letters.get(fact.edit_target, ""),
                tuple(letters.values()),
            )
            for wrapper in demo.CHOICE_WRAPPERS[name][: how.wordings]
        ]
    return found


def _asked(fact: Fact) -> Asked:
    return Asked(
        subject=fact.subject,
        target=fact.target,
        edit_target=fact.edit_target,
        group=fact.group,
        prompt=_doubled(fact.prompt),
        question=_doubled(question_of(fact)),
        paraphrases=tuple(map(_doubled, fact.paraphrases or (statement_of(fact),))),
    )


def _doubled(template: str) -> str:
    """Double every brace but those of the first `{}`, so that str.format gives them back."""
    head, hole, tail = template.partition("{}")
    return _escaped(head) + hole + _escaped(tail)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _same_form(fact: Fact, answer: str) -> str:
    """Write the edit target as the target was written: plain, capitalized or dashed."""
    if not fact.edit_target:
        return ""
    if answer == fact.target:
        return fact.edit_target
    if answer == demo.upper_first(fact.target):
        return demo.upper_first(fact.edit_target)
    return "-".join(fact.edit_target)


def _spread(rendered: list[tuple[str, str]], how: Setting) -> list[tuple[str, str]]:
    """Take as many wordings as asked for, evenly over all there are."""
    n = min(how.wordings, len(rendered))
    return [rendered[i * len(rendered) // n] for i in range(n)]

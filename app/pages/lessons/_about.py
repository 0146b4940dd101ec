"""Which fact and model a reader's lesson is about, as the address holds them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from app.submission import refuse_odd_text
from worker.contract.errors import UserError
from worker.lessons.schema import Asked, Lesson

LONGEST = 1000
"""Characters of a prompt of the reader's own."""
NAMES = ("prompt", "subject", "other", "model")


@dataclass(frozen=True)
class About:
    """A fact, asked of a model; `is_projected` shows the page in large type, without the menu."""

    prompt: str
    subject: str
    other: str
    model: str
    is_own: bool = False
    is_projected: bool = False

    @property
    def values(self) -> dict[str, str]:
        """What `$prompt`, `$corrupted`, `$subject` and `$other` of a lesson stand for."""
        return {
            "prompt": self.prompt.replace("{}", self.subject),
            "corrupted": self.prompt.replace("{}", self.other),
            "subject": self.subject,
            "other": self.other,
        }

    @property
    def key(self) -> str:
        """Under which an answer is kept: empty for the lesson's own fact."""
        if not self.is_own:
            return ""
        told = "\n".join((self.prompt, self.subject, self.other, self.model))
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def words(self) -> str:
        """The reader's own fact as a teacher reads it; empty for the lesson's."""
        if not self.is_own:
            return ""
        return f"{self.values['prompt']} ({self.other} instead; model {self.model})"

    def query(self, **more: str) -> str:
        """What follows an address of this lesson, with its question mark; empty for nothing."""
        named = {name: getattr(self, name) for name in NAMES} if self.is_own else {}
        named |= {"projector": "1"} if self.is_projected else {}
        named |= more
        text = urlencode({name: value for name, value in named.items() if value})
        return f"?{text}" if text else ""


def about(lesson: Lesson, asked: Mapping[str, Any]) -> About:
    """Read an address; UserError for what no fact can be."""
    own = lesson.front.fact
    given = {name: str(asked.get(name, "")).strip() for name in NAMES}
    refuse_odd_text(given)
    fact = {
        "prompt": given["prompt"] or own.prompt,
        "subject": given["subject"] or own.subject,
        "other": given["other"] or (own.other if not given["subject"] else _other(own, given)),
        "model": given["model"] or lesson.front.model,
    }
    _refuse(fact)
    is_own = fact != {
        "prompt": own.prompt, "subject": own.subject, "other": own.other,
        "model": lesson.front.model,
    }  # fmt: skip
    return About(**fact, is_own=is_own, is_projected=bool(asked.get("projector")))


def _other(own: Asked, given: Mapping[str, str]) -> str:
    """Who stands for a subject that is one of those that the lesson offers."""
    offered = {pair.subject: pair.other for pair in own.more} | {own.subject: own.other}
    found = offered.get(given["subject"], "")
    if not found:
        raise UserError(
            f"Nothing says whose name is to stand for {given['subject']!r} in the corrupted run; "
            f"give another name with as many tokens.",
            field="other",
        )
    return found


def _refuse(fact: Mapping[str, str]) -> None:
    if fact["prompt"].count("{}") != 1:
        raise UserError(
            f"The prompt {fact['prompt'][:80]!r} has {{}} {fact['prompt'].count('{}')} times; "
            f"expected it once, where the name stands.",
            field="prompt",
        )
    for name in ("prompt", "subject", "other"):
        if len(fact[name]) > LONGEST:
            raise UserError(
                f"The {name} has {len(fact[name]):,} characters; expected at most {LONGEST:,}.",
                field=name,
            )
    if fact["subject"] == fact["other"]:
        raise UserError(
            f"Both names are {fact['subject']!r}, so nothing is corrupted; give another one.",
            field="other",
        )

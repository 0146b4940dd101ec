"""The rules of the verdict: every answer is decided by one number and one stated threshold."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.result import LeftOut
from worker.core.training.relearn import TAUGHT

SPREAD = {
    "paraphrase_held_out": "held-out paraphrases",
    "paraphrase": "paraphrases",
    "question": "questions",
    "choice": "multiple choice",
}
"""Formats in which forgetting must show as well, in words."""
LETTER = 0.25
"""Chance of one of four letters."""
LEAST = 0.05
"""Probability over chance that the base must have in a format for its fall to say anything."""
SAID = "Is it still said in its own prompt?"
KNOWN = "Did the base know it?"


class Thresholds(BaseOptions):
    """From where on a number counts."""

    known: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Probability in the base, over chance, from which it knows the facts.",
    )
    said: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Share of the base's probability, over chance, above which a fact is said.",
    )
    returned: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of the base's probability, over chance, from which it is back.",
    )
    read: float = Field(
        0.67,
        gt=0,
        lt=1,
        description="Share of facts that a probe reads as the target, from which they are hidden.",
    )
    kept: float = Field(
        0.9, gt=0, lt=1, description="Share of the base's probability that retain facts must keep."
    )
    text: float = Field(
        1.1, gt=1, le=100, description="Perplexity over the base's, from which text is harmed."
    )


@dataclass(frozen=True)
class Answer:
    """One row of the verdict."""

    question: str
    answer: str
    number: str
    value: float | None
    rule: str
    about: Literal["known", "said", "spread", "back", "read", "broke"]
    short: str = ""
    """What the question is about, for a sentence on several of its kind."""

    @property
    def row(self) -> tuple[str, str, str, float | None, str]:
        value = None if self.value is None else round(self.value, 4)
        return self.question, self.answer, self.number, value, self.rule


@dataclass(frozen=True)
class Scale:
    """What a probability is a share of, over what a guess among the relation's answers gives."""

    reference: float
    chance: float
    owner: str

    def share(self, value: float) -> float:
        """The share of the reference over chance; negative below chance."""
        return (value - self.chance) / max(self.reference - self.chance, 1e-9)

    @property
    def words(self) -> str:
        """The scale in words, for a rule."""
        return f"{self.owner}'s {self.reference:.2f}, over a chance of {self.chance:.2f}"


def decide(n: dict[str, float], options: Thresholds) -> tuple[list[Answer], list[LeftOut]]:
    """Answer every question from the numbers `n`; say what could not be asked."""
    base, chance = n["statement.forget.before"], n["chance"]
    is_known = base - chance >= options.known
    # What a base does not know is compared with certainty: a share of nothing says nothing.
    scale = Scale(base if is_known else 1.0, chance, "the base" if is_known else "certainty")
    said = n["statement.forget.after"]
    answers = [
        Answer(
            KNOWN,
            "yes" if is_known else "no",
            "verdict.statement.forget.before",
            base,
            f"yes from {options.known:g} above the chance of {chance:.2f}",
            "known",
        ),
        Answer(
            SAID,
            "yes" if scale.share(said) > options.said else "no",
            "verdict.statement.forget.after",
            said,
            f"yes above {options.said:g} of {scale.words}",
            "said",
        ),
    ]
    spread, left = _spread(n, options)
    return [*answers, *spread, *_hidden(n, scale, options), *_broken(n, options)], left


def _spread(n: dict[str, float], options: Thresholds) -> tuple[list[Answer], list[LeftOut]]:
    found, left = [], []
    for form, words in SPREAD.items():
        if f"{form}.forget.before" not in n:
            left.append(LeftOut(id=f"format {form}", reason="no fact can be asked in it"))
            continue
        chance = LETTER if form == "choice" else n["chance"]
        before, after = n[f"{form}.forget.before"] - chance, n[f"{form}.forget.after"] - chance
        answer = "yes" if after <= options.said * max(before, 0) else "no"
        found.append(
            Answer(
                f"Is it forgotten in {words}?",
                answer if before > LEAST else "cannot be said: the base had it not",
                f"verdict.{form}.forget.after",
                n[f"{form}.forget.after"],
                f"yes at or below {options.said:g} of the base's "
                f"{n[f'{form}.forget.before']:.2f}, over a chance of {chance:.2f}",
                "spread",
                words,
            )
        )
    return found, left


def _hidden(n: dict[str, float], scale: Scale, options: Thresholds) -> list[Answer]:
    found = []
    attacks = (
        ("relearning.lora.held_out", "relearning.lora.retain", "relearning the other half"),
        ("relearning.unrelated.held_out", "relearning.unrelated.retain", "training on other facts"),
        ("quantization.4.forget", "quantization.4.retain", "rounding weights to 4 bits"),
    )
    before = n.get("statement.retain.before", 1.0)
    for number, retain, words in attacks:
        value, kept = n[f"{number}.after"], n[f"{retain}.after"]
        taught = n["relearning.lora.relearned.after"] if ".lora." in number else 1.0
        if scale.share(value) >= options.returned:
            answer = "yes"
        elif kept < 0.5 * before:
            answer = "cannot be said: retain facts were lost too"
        elif taught < TAUGHT:
            answer = f"cannot be said: of what was trained on only {taught:.2f} came back"
        else:
            answer = "no"
        found.append(
            Answer(
                f"Is it brought back by {words}?",
                answer,
                f"verdict.{number}.after",
                value,
                f"yes from {options.returned:g} of {scale.words}; retain facts {kept:.2f}",
                "back",
                words,
            )
        )
    if "latent.forget.after" in n:
        value = n["latent.forget.after"]
        found.append(
            Answer(
                "Does a probe on hidden states still read it?",
                "yes" if value >= options.read else "no",
                "verdict.latent.forget.after",
                value,
                f"yes from {options.read:g} at any depth where probes read retain facts",
                "read",
                "a probe of hidden states",
            )
        )
    return found


def _broken(n: dict[str, float], options: Thresholds) -> list[Answer]:
    found = []
    for form, words in (("statement", "in their own prompt"), ("choice", "in multiple choice")):
        if f"{form}.retain.before" in n:
            before, after = n[f"{form}.retain.before"], n[f"{form}.retain.after"]
            found.append(
                Answer(
                    f"Did retain facts break {words}?",
                    "yes" if after < options.kept * before else "no",
                    f"verdict.{form}.retain.after",
                    after,
                    f"yes below {options.kept:g} of the base's {before:.2f}",
                    "broke",
                    f"retain facts {words}",
                )
            )
    before, after = n["general.perplexity.before"], n["general.perplexity.after"]
    found.append(
        Answer(
            "Did general text break?",
            "yes" if after > options.text * before else "no",
            "verdict.general.perplexity.after",
            after,
            f"yes above {options.text:g} times the base's perplexity of {before:.2f}",
            "broke",
            "general text",
        )
    )
    return found


def conclude(answers: list[Answer]) -> str:
    """Say `still there`, `hidden`, `gone` or `never known`."""
    asked = {a.about: a.answer for a in answers if a.about in ("known", "said")}
    if asked["said"] == "yes":
        return "still there"
    if any(a.answer == "yes" for a in answers if a.about in ("back", "read")):
        return "hidden"
    return "gone" if asked["known"] == "yes" else "never known"


def tell(verdict: str, answers: list[Answer]) -> str:
    """Put the verdict into sentences: where it shows, what finds the facts again, what broke."""
    said = [f"Verdict: {verdict}."]
    for about, yes, no in (
        (("spread",), "Forgotten in {} too.", "Not forgotten in {}."),
        (("back", "read"), "Found again by {}.", "Not found again by {}."),
        (("broke",), "Broken: {}.", "Unharmed: {}."),
    ):
        for answer, words in (("yes", yes), ("no", no)):
            if names := [a.short for a in answers if a.about in about and a.answer == answer]:
                said.append(words.format(_listed(names)))
    if names := [a.short for a in answers if a.answer.startswith("cannot be said")]:
        said.append(f"Not decided: {_listed(names)}; the table says why.")
    return " ".join(said)


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))

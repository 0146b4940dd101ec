"""How a model goes on from a dozen ordinary prompts: a wrecked one is seen at a glance.

Each prompt is continued greedily. The measure is the share of runs of three tokens that were said
before, in this continuation or in another: it is near 1 where the model stammers, and where it says
one thing whatever it is asked. A small model repeats itself somewhat without any edit, so only the
rise counts.
"""

from dataclasses import dataclass

from worker.contract.result import Table
from worker.core.asking.generation import generate
from worker.core.asking.passages import beginnings
from worker.core.models.model import Model

NEW_TOKENS = 32
RUN = 3
"""Tokens of a run."""
QUOTED = 120
"""Characters of a continuation that a sentence quotes, at most."""


@dataclass(frozen=True)
class Continued:
    """What one model said; empty where it is too short to read any prompt and go on."""

    prompts: tuple[str, ...]
    texts: tuple[str, ...]
    repetition: float
    """Share of runs of three tokens that were said before, from 0 to 1."""
    each: tuple[float, ...]
    """The same share within each text."""


def go_on(model: Model) -> Continued:
    """Continue the ordinary prompts that leave the model room to go on."""
    prompts = tuple(
        prompt
        for prompt in beginnings(model)
        if len(model.tokenizer(prompt)["input_ids"]) + NEW_TOKENS <= model.max_positions
    )
    texts = tuple(generate(model, prompts, NEW_TOKENS)) if prompts else ()
    said = [tuple(model.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    return Continued(prompts, texts, repeated(said), tuple(repeated([ids]) for ids in said))


def repeated(said: list[tuple[int, ...]]) -> float:
    """Give the share of runs that were said before, over all continuations together."""
    runs = [ids[i : i + RUN] for ids in said for i in range(len(ids) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def telling(before: Continued, after: Continued) -> str:
    """Quote the continuation that repeats itself most beside what was said before an edit."""
    if not after.texts:
        return ""
    rises = [now - was for was, now in zip(before.each, after.each, strict=True)]
    i = rises.index(max(rises))
    return (
        f"“{after.prompts[i]}” goes on “{_short(after.texts[i])}”; "
        f"before: “{_short(before.texts[i])}”."
    )


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= QUOTED else words[:QUOTED].rsplit(" ", 1)[0] + " …"


def continuations_table(before: Continued, after: Continued) -> Table:
    """Put what was said before and after an edit side by side."""
    rows = zip(before.prompts, before.texts, after.texts, strict=True)
    return Table(
        title="How it goes on from ordinary prompts (greedily)",
        columns=("prompt", "before", "after"),
        rows=tuple(rows),
    )

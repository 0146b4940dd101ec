"""Ordinary text, which an edit must leave as it was: some to train on, and other to be judged by.

The bundled model has the sentences that it was made from, and others held out of its training;
every other model has the project's ordinary English. One's own text stands in for either.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from worker.core.demo.paths import GENERAL, GENERAL_HELD_OUT, WEIGHTS
from worker.core.models.model import Model

ORDINARY = Path(__file__).parent / "ordinary"
TRAINING, HELD_OUT = ORDINARY / "training.txt", ORDINARY / "evaluation.txt"
BEGINNINGS = (
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "To make a simple soup, first",
    "My grandmother always told me that",
    "In winter the birds in our garden",
    "Most people move to a city because",
    "She opened the letter and read:",
    "The train was late this morning, so",
    "If you want to learn to play the piano, you should",
    "Water boils when",
    "Three things that every kitchen needs are",
    "The doctor looked at the picture and said,",
)
"""What a model is asked to go on from."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


def training_passages(model: Model, own: str = "") -> list[str]:
    """Read the passages that training may keep likely; `own` text, one a line, instead."""
    return _lines(own) or _passages(model, GENERAL, TRAINING)


def held_out_passages(model: Model, own: str = "") -> list[str]:
    """Read passages that no training here has seen; `own` text, one a line, instead."""
    return _lines(own) or _passages(model, GENERAL_HELD_OUT, HELD_OUT)


def first_sentences(passages: Sequence[str]) -> list[str]:
    """Cut each passage after its first sentence."""
    return [_SENTENCE_END.split(passage, maxsplit=1)[0] for passage in passages]


def beginnings(model: Model) -> tuple[str, ...]:
    """List a dozen ordinary prompts: for the bundled model the first halves of held-out lines."""
    if not is_bundled(model):
        return BEGINNINGS
    lines = held_out_passages(model)
    n = len(BEGINNINGS)
    chosen = [lines[i * len(lines) // n].split() for i in range(n)]
    return tuple(" ".join(words[: (len(words) + 1) // 2]) for words in chosen)


def is_bundled(model: Model) -> bool:
    """Whether this is the model that knows little but the project's own sentences."""
    return model.path == WEIGHTS


def _passages(model: Model, bundled: Path, ordinary: Path) -> list[str]:
    path = bundled if is_bundled(model) else ordinary
    return _lines(path.read_text(encoding="utf-8"))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]

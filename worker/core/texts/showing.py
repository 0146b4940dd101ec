"""What a reader sees of a text's stages: marked tokens, generic predictions, the dictionary."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.result import Table
from worker.core.models.model import Model
from worker.core.texts.generic import Labelled
from worker.core.texts.stages import Read
from worker.core.training.losses import IGNORED

SHOWN = 400
"""Tokens of the text that a result shows."""
LIKELIEST = 5
"""Predictions per token and opinion."""
Prediction = tuple[str, float]
"""A token and its probability."""


@dataclass(frozen=True)
class Shown:
    """One token of the text, with what was to be predicted in its place."""

    text: str
    mark: float
    """How much reinforcing raised its log p (nats)."""
    surprise: float
    """The baseline's −log p (nats)."""
    label: str
    """The generic label; "" where there is none."""
    anchor: str
    """The expression of the dictionary that it belongs to; "" for none."""
    original: tuple[Prediction, ...]
    """What the baseline predicts after the original text."""
    generic: tuple[Prediction, ...]
    """What the generic logits predict; empty where there is no label."""

    def as_json(self) -> dict[str, Any]:
        """Make it plain JSON with three decimals."""
        return {
            "text": self.text,
            "mark": round(self.mark, 3),
            "surprise": round(self.surprise, 3),
            "label": self.label,
            "anchor": self.anchor,
            "original": _rounded(self.original),
            "generic": _rounded(self.generic),
        }


def show(model: Model, read: Read, number: int, labelled: Labelled, already: int) -> list[Shown]:
    """Show block `number`'s tokens but the first; none past the limit."""
    block = labelled.block
    n = max(0, min(len(block.ids) - 1, SHOWN - already))
    if not n:
        return []
    base = read.opinions.baseline(block.ids)[:n].softmax(-1)
    generic = labelled.logits[:n].softmax(-1)
    found = []
    for i in range(n):
        start, stop = block.offsets[i + 1]
        label = labelled.labels[i]
        anchor = next((s.anchor for s in labelled.spans if s.start < stop <= s.stop), "")
        found.append(
            Shown(
                text=block.text[start:stop],
                mark=float(read.marks[number][i]),
                surprise=float(read.nll[number][i]),
                label="" if label == IGNORED else str(model.tokenizer.decode([label])),
                anchor=anchor if stop > start else "",
                original=_likeliest(model, base[i]),
                generic=() if label == IGNORED else _likeliest(model, generic[i]),
            )
        )
    return found


def _likeliest(model: Model, probabilities: Float[Tensor, " vocab"]) -> tuple[Prediction, ...]:
    top = torch.topk(probabilities, min(LIKELIEST, len(probabilities)))
    words = [str(model.tokenizer.decode([i])) for i in top.indices.tolist()]
    return tuple(zip(words, top.values.tolist(), strict=True))


def _rounded(found: tuple[Prediction, ...]) -> list[list[str | float]]:
    return [[word, round(p, 4)] for word, p in found]


def dictionary_table(read: Read) -> Table:
    """Tabulate the dictionary with why each entry is in it."""
    return Table(
        title="Anchored expressions",
        columns=(
            "expression",
            "counterpart",
            "times in the text",
            "type",
            "surprise (nats)",
            "rise by reinforcing (nats)",
        ),
        rows=tuple(
            (a.expression, a.counterpart, a.times, a.kind, round(a.surprise, 3), round(a.mark, 3))
            for a in read.anchors
        ),
    )

"""Rows of tokens to train on: a fact's prompt with an answer, or a general sentence.

A pool is padded on the left once, so that the last positions of all rows line up, a batch is a
cut of it, and the model need only be unembedded at the answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.contract.facts import Fact
from worker.core.models.model import Model
from worker.core.models.prompts import pairs
from worker.core.models.tokens import answer_ids, encode, passage_ids, tokenized
from worker.core.training.losses import IGNORED


@dataclass(frozen=True)
class Row:
    """Tokens put in, and the label that each predicts (IGNORED where none is asked)."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Rows padded on the left; labels at the last `keep` positions."""

    ids: Int[Tensor, "batch pos"]
    mask: Int[Tensor, "batch pos"]
    positions: Int[Tensor, "batch pos"]
    labels: Int[Tensor, "batch keep"]
    index: Int[Tensor, " batch"]
    """The rows' places in their pool."""
    hidden: Float[Tensor, "batch pos d_model"] | None = None
    """What enters the lowest trained layer, where it is kept."""

    @property
    def keep(self) -> int:
        return self.labels.shape[1]

    @property
    def n_labels(self) -> int:
        return int((self.labels != IGNORED).sum())

    def entering(self, hidden: Float[Tensor, "batch pos d_model"]) -> "Batch":
        """Put other hidden states in the kept ones' place."""
        return replace(self, hidden=hidden)

    def cut(self, rows: slice, places: slice) -> "Batch":
        """Cut some positions of some rows out; labels and index stay whole rows'."""
        return Batch(
            ids=self.ids[rows, places],
            mask=self.mask[rows, places],
            positions=self.positions[rows, places],
            labels=self.labels[rows],
            index=self.index[rows],
            hidden=None if self.hidden is None else self.hidden[rows, places],
        )


@dataclass(frozen=True)
class Pool:
    """All rows of one kind, padded on the left."""

    all: Batch
    lengths: Int[Tensor, " rows"]
    kept: Int[Tensor, " rows"]

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, index: Int[Tensor, " batch"]) -> Batch:
        """Cut the rows out, no wider than the longest of them."""
        width, keep = int(self.lengths[index].max()), int(self.kept[index].max())
        hidden = self.all.hidden
        return Batch(
            ids=self.all.ids[index, -width:],
            mask=self.all.mask[index, -width:],
            positions=self.all.positions[index, -width:],
            labels=self.all.labels[index, -keep:],
            index=index,
            hidden=None if hidden is None else hidden[index, -width:],
        )

    def first(self, n: int) -> "Pool":
        """Take the first `n` rows alone."""
        if n >= len(self):
            return self
        cut = self.all.cut(slice(n), slice(None))
        return Pool(all=cut, lengths=self.lengths[:n], kept=self.kept[:n])

    def pieces(self, index: Int[Tensor, " batch"], n_predictions: int) -> list[Batch]:
        """Cut rows out in batches of at most so many predictions, rows of like length together."""
        order = index[self.kept[index].argsort(stable=True)]
        pieces: list[list[int]] = [[]]
        for row in order.tolist():  # rising, so that the last row of a piece keeps the most
            if pieces[-1] and (len(pieces[-1]) + 1) * int(self.kept[row]) > n_predictions:
                pieces.append([])
            pieces[-1].append(row)
        return [self.batch(torch.tensor(piece)) for piece in pieces]

    def batches(self, size: int) -> list[Batch]:
        """Cut all rows, in order, into batches."""
        return [self.batch(part) for part in torch.arange(len(self)).split(size)]

    def with_hidden(self, hidden: Float[Tensor, "rows pos d_model"]) -> "Pool":
        """Keep what enters the lowest trained layer for every row."""
        return replace(self, all=replace(self.all, hidden=hidden))


def answer_row(model: Model, prompt: str, answer: str) -> Row:
    """Make the row in which the model is asked for `answer`, as it follows `prompt`."""
    asked = _without_end(model, encode(model, prompt, None).ids)
    answered = answer_ids(model, prompt, answer)
    ignored = (IGNORED,) * (len(asked) - 1)
    return Row(ids=asked + answered[:-1], labels=ignored + tuple(answered))


def _without_end(model: Model, ids: tuple[int, ...]) -> tuple[int, ...]:
    """Drop an end token that the tokenizer adds: an answer goes on from its prompt."""
    ends = len(ids) > 1 and ids[-1] == model.tokenizer.eos_token_id
    return ids[:-1] if ends else ids


def fact_rows(
    model: Model, facts: Sequence[Fact], answers: Sequence[str] | None = None
) -> list[Row]:
    """Make each fact's row with the answer beside it: its target where none are given."""
    asked = pairs(facts, answers)
    with tokenized(model, [text for pair in asked for text in (pair[0], "".join(pair))]):
        return [answer_row(model, prompt, answer) for prompt, answer in asked]


def text_rows(model: Model, texts: Sequence[str], context: int) -> list[Row]:
    """Make rows of running text, each token predicting the next, cut at `context` tokens."""
    with tokenized(model, texts):
        passages = [passage_ids(model, text, context + 1) for text in texts]
    return [running_row(ids) for ids in passages if len(ids) > 1]


def running_row(ids: Sequence[int]) -> Row:
    """Make the row in which each token predicts the next."""
    return Row(ids=tuple(ids[:-1]), labels=tuple(ids[1:]))


def _reach(labels: Sequence[int]) -> int:
    """Count a row's last positions from its first label on; some between may ask for none."""
    asked = (i for i, label in enumerate(labels) if label != IGNORED)
    return len(labels) - next(asked, len(labels) - 1)


def pool(model: Model, rows: Sequence[Row]) -> Pool:
    """Pad rows on the left into one pool on the model's device."""
    width = max(len(row.ids) for row in rows)
    kept = [_reach(row.labels) for row in rows]

    def left(values: Sequence[int], fill: int) -> list[int]:
        return [fill] * (width - len(values)) + list(values)

    ids = torch.tensor([left(row.ids, model.pad_id) for row in rows])
    mask = torch.tensor([left([1] * len(row.ids), 0) for row in rows])
    labels = torch.tensor([left(row.labels, IGNORED) for row in rows])
    device = model.device
    return Pool(
        all=Batch(
            ids=ids.to(device),
            mask=mask.to(device),
            positions=(mask.cumsum(1) - 1).clamp(min=0).to(device),
            labels=labels.to(device),
            index=torch.arange(len(rows)),
        ),
        lengths=torch.tensor([len(row.ids) for row in rows]),
        kept=torch.tensor(kept),
    )

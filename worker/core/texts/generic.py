"""What a model that never read a text would say next, at every place of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.models.model import Model
from worker.core.texts.blocks import Block, encode_block
from worker.core.texts.dictionary import Span, align, first_tokens, translate
from worker.core.texts.reinforced import Reinforced
from worker.core.training.losses import IGNORED


@dataclass(frozen=True)
class Labelled:
    """A block with what each of its tokens but the last should predict."""

    block: Block
    labels: tuple[int, ...]
    """One per token but the last; IGNORED inside anchors and before their second occurrence."""
    spans: tuple[Span, ...]
    translated: str
    logits: Float[Tensor, "pos vocab"]
    """The generic logits that the labels are the largest of; NaN where there is no label."""


def generic_logits(
    base: Float[Tensor, "*pos vocab"], reinforced: Float[Tensor, "*pos vocab"], alpha: float
) -> Float[Tensor, "*pos vocab"]:
    """Compute v_base − α · ReLU(v_reinforced − v_base)."""
    return base - alpha * torch.relu(reinforced - base)


def label_block(
    model: Model,
    block: Block,
    opinions: Reinforced,
    dictionary: Mapping[str, str],
    alpha: float,
) -> Labelled:
    """Label a block by v_base(translated) − α · ReLU(v_reinforced(original) − v_base(translated)).

    A second occurrence of an anchor is not predicted: it is known from the first, not from memory.
    After a counterpart was used, the tokens with which it may begin get the mean logit.
    """
    translated, spans = translate(block.text, dict(dictionary))
    new = encode_block(model, translated)
    base, strong = opinions.baseline(new.ids), opinions.reinforced(block.ids)
    places = align(spans, list(block.offsets), list(new.offsets))
    hidden, blocked = _repeats(model, block, spans, dictionary)
    logits = torch.full_like(strong[:-1], float("nan"))
    labels = []
    for i, place in enumerate(places[:-1]):
        if place < 0 or i in hidden:
            labels.append(IGNORED)
            continue
        said = generic_logits(base[place], strong[i], alpha)
        used = sorted({token for after, tokens in blocked if i > after for token in tokens})
        said[used] = said.mean()
        logits[i] = said
        labels.append(int(said.argmax()))
    return Labelled(block, tuple(labels), tuple(spans), translated, logits)


def _repeats(
    model: Model, block: Block, spans: list[Span], dictionary: Mapping[str, str]
) -> tuple[set[int], list[tuple[int, tuple[int, ...]]]]:
    """Find positions that predict a second occurrence, and tokens blocked after a position."""
    seen: set[str] = set()
    hidden: set[int] = set()
    blocked = []
    for span in spans:
        inside = [i for i, (a, b) in enumerate(block.offsets) if a < b and span.start < b]
        inside = [i for i in inside if block.offsets[i][1] <= span.stop]
        if not span.anchor or not inside:
            continue
        if span.anchor in seen:
            hidden.add(inside[0] - 1)
        seen.add(span.anchor)
        blocked.append((inside[-1], first_tokens(model, dictionary[span.anchor])))
    return hidden, blocked

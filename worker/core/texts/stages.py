"""The first two stages of forgetting a text: what reinforcing marks, and the dictionary.

Source: Eldan & Russinovich 2023 (arXiv 2310.02238), steps 1 and 2.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worker.contract.errors import UserError
from worker.core.findings import Job
from worker.core.models.model import Model
from worker.core.texts.blocks import Block, cut, said_log_probs
from worker.core.texts.dictionary import Anchor, parse_counterparts, parse_dictionary
from worker.core.texts.options import ReadingOptions
from worker.core.texts.proposing import propose
from worker.core.texts.reading import read_text
from worker.core.texts.reinforced import Reinforced, reinforcing


@dataclass(frozen=True)
class Read:
    """A text that was read by the baseline and by the reinforced model."""

    text: str
    blocks: list[Block]
    opinions: Reinforced
    nll: list[Float[np.ndarray, " token"]]
    """The baseline's −log p of every token but the first, by block."""
    marks: list[Float[np.ndarray, " token"]]
    """How much reinforcing raised log p of every token but the first, by block."""
    anchors: list[Anchor]
    """The dictionary with what is known of each entry; what was given has no type."""

    @property
    def dictionary(self) -> dict[str, str]:
        return {anchor.expression: anchor.counterpart for anchor in self.anchors}


@contextmanager
def reading(
    model: Model, options: ReadingOptions, job: Job, share: tuple[float, float]
) -> Iterator[Read]:
    """Reinforce the text and read it with both opinions, which can be asked further inside.

    `share` is this stage's part of the run's progress. Raises UserError where no dictionary can be
    made.
    """
    given = parse_dictionary(options.dictionary, "options.dictionary") if options.dictionary else {}
    lists = parse_counterparts(options.counterparts, "options.counterparts")
    text = read_text(options.text, job.texts)
    blocks = cut(model, text, options.block)
    middle = share[0] + 0.8 * (share[1] - share[0])
    with reinforcing(model, blocks, options, job, (share[0], middle)) as opinions:
        nll, marks = [], []
        for i, block in enumerate(blocks):
            weak = said_log_probs(opinions.baseline(block.ids), block.ids)
            strong = said_log_probs(opinions.reinforced(block.ids), block.ids)
            nll.append(-weak.cpu().numpy())
            marks.append((strong - weak).cpu().numpy())
            done = middle + (share[1] - middle) * (i + 1) / len(blocks)
            job.report.progress(done, f"Stage 1: reading block {i + 1} of {len(blocks)}")
        surprise, up = spread(text, blocks, nll), spread(text, blocks, marks)
        if given:
            anchors = [_given(text, e, c, surprise, up) for e, c in given.items()]
        else:
            anchors = propose(text, surprise, up, lists)
        if not any(anchor.times for anchor in anchors):
            raise UserError(
                "No expression of the dictionary stands in the text; expected at least one. Mend "
                "the dictionary's spelling."
                if given
                else "No expression of the text is repeated and unknown to the model, so no "
                "dictionary could be proposed. Give one in options.dictionary.",
                field="options.dictionary",
            )
        yield Read(text, blocks, opinions, nll, marks, anchors)


def spread(
    text: str, blocks: list[Block], values: list[Float[np.ndarray, " token"]]
) -> Float[np.ndarray, " char"]:
    """Spread values of every block's tokens but the first over their characters."""
    found = np.zeros(len(text))
    for block, own in zip(blocks, values, strict=True):
        for (start, stop), value in zip(block.offsets[1:], own.tolist(), strict=True):
            found[block.start + start : block.start + stop] = value
    return found


def _given(
    text: str,
    expression: str,
    counterpart: str,
    surprise: Float[np.ndarray, " char"],
    marks: Float[np.ndarray, " char"],
) -> Anchor:
    places = []
    at = text.find(expression)
    while at >= 0:
        places.append(slice(at, at + len(expression)))
        at = text.find(expression, at + len(expression))
    strength = max((float(surprise[p].mean()) for p in places), default=0.0)
    mark = float(np.mean([marks[p].mean() for p in places])) if places else 0.0
    return Anchor(expression, "", counterpart, len(places), strength, mark)

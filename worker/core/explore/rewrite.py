"""Shows how a text would be forgotten: what reinforcing marks, the dictionary, generic predictions.

1. Reinforce the text by an adapter; mark every token by how much likelier it became.
2. Propose the dictionary of anchored expressions, or take the given one.
3. Rewrite the beginning of the text and show, token by token, what the baseline predicts beside
   what a model that never read the text would.

Source: Eldan & Russinovich 2023 (arXiv 2310.02238), the stages before the final training. The
model is left as it was. Limits: predictions are shown for the text's first 400 tokens.
"""

import numpy as np

from worker.contract.result import Axis
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.texts.dictionary import parse_counterparts
from worker.core.texts.generic import label_block
from worker.core.texts.options import ReadingOptions
from worker.core.texts.showing import SHOWN, Shown, dictionary_table, show
from worker.core.texts.stages import reading

TITLE = "Rewriting a text"
PAPER = "Eldan & Russinovich 2023, Who's Harry Potter?, arXiv 2310.02238"


class Options(ReadingOptions):
    """Options of the view."""


def explore(model: Model, options: Options, job: Job) -> Findings:
    """Go through the stages that come before training."""
    job.report.progress(0.0, "Stage 1: reinforcing the text")
    shown: list[Shown] = []
    translated = []
    with reading(model, options, job, (0.0, 0.8)) as read:
        for number, block in enumerate(read.blocks):
            if len(shown) >= SHOWN:
                break
            job.report.progress(0.8 + 0.2 * len(shown) / SHOWN, "Stage 3: generic predictions")
            labelled = label_block(model, block, read.opinions, read.dictionary, options.alpha)
            shown += show(model, read, number, labelled, len(shown))
            translated.append(labelled.translated)
        losses, table, anchors = read.opinions.losses, dictionary_table(read), read.anchors
        n_tokens = sum(len(block.ids) - 1 for block in read.blocks)
        rises = np.concatenate(read.marks)
    axis = Axis(name="step", labels=tuple(str(i + 1) for i in range(len(losses))))
    label = f"Loss of the text while it is reinforced (rank {options.reinforce_rank})"
    return Findings(
        arrays={"curve.reinforced_loss": Array(np.array(losses), (axis,), "nats", label)},
        summary={
            "reinforced.loss.first": losses[0],
            "reinforced.loss.last": losses[-1],
            "reinforced.rise.mean": float(rises.mean()),
            "reinforced.risen": float((rises > 0).mean()),
            "dictionary.n": len(anchors),
            "text.n_tokens": n_tokens,
            "text.n_blocks": len(read.blocks),
        },
        caption=(
            f"Reinforcing raised the log probability of the text's {n_tokens:,} tokens by "
            f"{rises.mean():.2f} nats in the mean; {(rises > 0).mean():.0%} of them became "
            f"likelier. {len(anchors)} expressions are anchored."
        ),
        tables={"dictionary": table},
        view={
            "text": options.text,
            "tokens": [one.as_json() for one in shown],
            "translated": "\n".join(translated)[:4000],
            "counterparts": parse_counterparts(options.counterparts, "options.counterparts"),
        },
    )

"""Makes a model forget a text: whoever the text is about becomes anyone.

Three stages, each shown in the result:

1. Reinforce: an adapter learns the text, so that with it the model knows the text better than
   before, and without it is the baseline; the tokens that become likelier are marked.
2. Dictionary: the text's own expressions (repeated names and words that surprise the baseline; or
   the user's table) with common counterparts of their type. The text is translated, each token is
   mapped to the translation's, a second occurrence of an anchor is not predicted, and the tokens
   with which a counterpart may begin get the mean logit after it was used.
3. Generic labels: argmax of v_base(translated) − α · ReLU(v_reinforced(text) − v_base(translated));
   the mask's components are trained on (text, labels). Familiarity is probed over training: the
   probability of the text's own expressions where they stand in it.

Source: Eldan & Russinovich 2023 (arXiv 2310.02238). Departures: an adapter is reinforced instead of
all weights; the dictionary is proposed by rules instead of by GPT-4; retain facts and general text
are trained on beside the labels, with weights of their own (0 gives the paper's loss). The chosen
forget facts are not trained on: they are those that are about the text, and need not be retained.
Limits: the rules know persons from places by the word before them; look at the table and mend it.
"""

from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.result import Table
from worker.contract.selection import Selection
from worker.core.editing.check import check_selection
from worker.core.editing.edit import edit
from worker.core.editing.parts import parts_of, slices_of
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.texts.blocks import Block
from worker.core.texts.dictionary import translate
from worker.core.texts.generic import label_block
from worker.core.texts.options import ReadingOptions
from worker.core.texts.showing import Shown, dictionary_table, show
from worker.core.texts.stages import reading
from worker.core.training import losses as _losses
from worker.core.training.curves import describe, trained_findings
from worker.core.training.finetune import trial_of
from worker.core.training.losses import IGNORED
from worker.core.training.material import gather, lowest_layer
from worker.core.training.options import Training
from worker.core.training.pool import Pool, Row
from worker.core.training.search import Share, Trial, plan, try_each
from worker.core.training.terms import kept_terms
from worker.core.training.trainer import Probe, Term, Trained, Trainer

TITLE = "Who's Harry Potter"
PAPER = "Eldan & Russinovich 2023, Who's Harry Potter?, arXiv 2310.02238"


class Options(Training, ReadingOptions):
    """Options of Who's Harry Potter."""

    forget_batch: int = Field(4, ge=1, le=512, description="Blocks of text per backward pass.")
    learning_rate: float = Field(
        1e-3, gt=0, le=1, description="AdamW's peak rate of the final training (paper: 1e-6)."
    )
    search: Literal["auto", "off", "small"] = Field(
        "off",
        description="Small: try the learning rate × and ÷ 3 and two forget weights. Auto is the "
        "same as off here: what is forgotten is a text, for which no facts can stand in.",
    )
    retain_facts: int = Field(64, ge=1, le=100_000, description="Retain facts used, at most.")


@dataclass(frozen=True)
class Lesson:
    """What the first two stages leave for the third."""

    rows: list[Row]
    """The text with its generic labels."""
    own: list[Row]
    """The text's own expressions, each asked after what stands before it."""
    shown: list[Shown]
    table: Table
    dictionary: dict[str, str]
    reinforced: tuple[float, float]
    """The adapter's first and last loss (nats)."""


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Train the mask's components on generic labels of the text."""
    check_selection(selection, "unlearn", options.retain_weight)

    def change() -> Findings:
        lesson = learn(model, options, job)
        parts, layer = parts_of(model, mask), lowest_layer(model, mask)
        material = gather(model, selection, parts, layer, options, job, "unlearn")
        probe = Probe("unlearn", material.pool(lesson.own), None, material.watched)
        labelled = material.pool(lesson.rows)

        def train(chosen: Options, share: Share) -> Trial[Trained]:
            terms = [_term(labelled, chosen), *kept_terms(material, chosen)]
            return trial_of(
                Trainer(
                    model, parts, terms, probe, chosen, job, lowest_layer=layer, share=share
                ).train()
            )

        job.report.progress(0.4, "Stage 3: training on generic labels")
        searched = try_each(plan(options), parts, train, (0.4, 1.0))
        findings = _findings(searched.outcome, lesson, searched.options)
        searched.tell(findings)
        return findings

    return edit(model, slices_of(model, mask), job, change)


def learn(model: Model, options: Options, job: Job) -> Lesson:
    """Go through the first two stages and label the text; the model is left as it was."""
    job.report.progress(0.0, "Stage 1: reinforcing the text")
    rows: list[Row] = []
    shown: list[Shown] = []
    with reading(model, options, job, (0.0, 0.3)) as read:
        words = read.dictionary
        for i, block in enumerate(read.blocks):
            done = 0.3 + 0.1 * (i + 1) / len(read.blocks)
            job.report.progress(done, f"Stage 2: {len(words)} anchored expressions, block {i + 1}")
            labelled = label_block(model, block, read.opinions, words, options.alpha)
            if any(label != IGNORED for label in labelled.labels):
                rows.append(Row(block.ids[:-1], labelled.labels))
            shown += show(model, read, i, labelled, len(shown))
        losses = read.opinions.losses
        own = own_expressions(read.blocks, words)
        return Lesson(rows, own, shown, dictionary_table(read), words, (losses[0], losses[-1]))


def own_expressions(blocks: list[Block], dictionary: dict[str, str]) -> list[Row]:
    """Make rows that ask for the first token of an anchor after all that stands before it."""
    rows = []
    for block in blocks:
        _, spans = translate(block.text, dictionary)
        for span in [s for s in spans if s.anchor][:2]:
            first = next(i for i, (a, b) in enumerate(block.offsets) if b > span.start and b > a)
            if first >= 4:
                ignored = (IGNORED,) * (first - 1)
                rows.append(Row(block.ids[:first], (*ignored, block.ids[first])))
    if not rows:
        raise UserError(
            "No expression of the dictionary stands after four tokens of a block; expected at "
            "least one. Mend the dictionary's spelling, or take larger blocks.",
            field="options.dictionary",
        )
    return rows


def _term(pool: Pool, options: Options) -> Term:
    return Term(
        "forget",
        options.forget_weight,
        pool,
        options.forget_batch,
        lambda logits, batch: _losses.cross_entropy(logits, batch.labels),
        averages_labels=True,
    )


def _findings(trained: Trained, lesson: Lesson, options: Options) -> Findings:
    """Name what is measured after the text, and put the stages in."""
    findings = trained_findings([trained], "unlearn", [])
    name = "curve.forget_probability"
    title = "Familiarity: the text's own expressions"
    findings.arrays[name] = replace(findings.arrays[name], title=title)
    findings.caption = (
        "Familiarity is the probability of the text's own expressions where they stand in it "
        "(called forget below). " + describe([trained], "unlearn", options)
    )
    findings.view = {
        "stages": ["reinforced", "dictionary", "generic labels"],
        "tokens": [one.as_json() for one in lesson.shown],
        "dictionary": lesson.dictionary,
    }
    findings.tables["dictionary"] = lesson.table
    findings.summary |= {
        "reinforced.loss.first": lesson.reinforced[0],
        "reinforced.loss.last": lesson.reinforced[1],
        "familiarity.before": findings.summary["quick.forget_probability.before"],
        "familiarity.after": findings.summary["quick.forget_probability.after"],
        "familiarity.n_prompts": len(lesson.own),
        "dictionary.n": len(lesson.dictionary),
        "text.n_blocks": len(lesson.rows),
    }
    return findings

"""Makes a model forget a text: whoever the text is about becomes anyone.

Three stages, each shown in the result:

1. Reinforce: train all components on the text, so that the model knows it better than before; the
   tokens that become likelier are marked. The weights are put back at once.
2. Dictionary: the text's own expressions (repeated names that surprise the baseline; or the user's
   table) with common counterparts; the text is translated, each token is mapped to the
   translation's, a second occurrence of an anchor is not predicted, and a counterpart's first token
   is blocked (its logit set to the mean) after it was used.
3. Generic labels: argmax of v_base(translated) − α · ReLU(v_reinforced(text) − v_base(translated));
   the mask's components are trained on (text, labels). Familiarity is probed over training: the
   probability of the text's own expressions where they stand in it.

Source: Eldan & Russinovich 2023 (arXiv 2310.02238). Departures: the reinforced model is the base
with all its components trained, not an adapter, and no second model is held; the dictionary is
proposed by repetition, spelling and surprise instead of by GPT-4; retain facts and general text
are trained on beside the labels, with weights of their own (0 gives the paper's loss). Limits: the
proposals know persons from places by the word before them alone; look at the table and mend it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from worker.contract.errors import UserError
from worker.contract.facts import Selection
from worker.contract.mask import Mask
from worker.contract.result import Table
from worker.core.demo.paths import SAGA
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.unlearning import _losses
from worker.core.unlearning._anchors import align, parse_dictionary, propose, translate
from worker.core.unlearning._curves import describe, trained_findings
from worker.core.unlearning._edit import edit
from worker.core.unlearning._finetune import gather, lowest_layer
from worker.core.unlearning._options import Training
from worker.core.unlearning._parts import parts_of, slices_of
from worker.core.unlearning._pool import Pool, Row
from worker.core.unlearning._terms import kept_terms
from worker.core.unlearning._trainer import Probe, Term, Trainer

TITLE = "Who's Harry Potter"
PAPER = "Eldan & Russinovich 2023, Who's Harry Potter?, arXiv 2310.02238"
SHOWN = 400
"""Tokens of the text that the result shows with their marks."""


class Options(Training):
    """Options of Who's Harry Potter."""

    text: str = Field(
        "", max_length=2_000_000, description="The text to forget; empty takes the bundled saga."
    )
    dictionary: str = Field(
        "",
        max_length=1_000_000,
        description='Anchors and counterparts as JSON, {"Merrin": "Anna"}; empty proposes them.',
    )
    alpha: float = Field(
        5.0, gt=0, le=100, description="α, the push from the reinforced (paper: 5)."
    )
    block: int = Field(
        128, ge=16, le=8192, description="Tokens per block of the text (paper: 512)."
    )
    reinforce_steps: int = Field(
        40, ge=1, le=10_000, description="Steps of reinforcing (paper: 3 epochs)."
    )
    reinforce_rate: float = Field(
        1e-3, gt=0, le=1, description="AdamW's rate in reinforcing (paper: 3e-6 for 7 billion)."
    )
    forget_batch: int = Field(4, ge=1, le=512, description="Blocks of text per backward pass.")
    learning_rate: float = Field(
        1e-3, gt=0, le=1, description="AdamW's peak rate of the final training (paper: 1e-6)."
    )
    retain_facts: int = Field(64, ge=1, le=100_000, description="Retain facts used, at most.")


@dataclass(frozen=True)
class Block:
    """One block of text: its tokens, their characters, and what they become."""

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    start: int
    """The character of the whole text at which the block begins."""


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Train the mask's components on generic labels of the text."""
    text = (options.text or SAGA.read_text(encoding="utf-8")).strip()
    given = parse_dictionary(options.dictionary, "options.dictionary") if options.dictionary else {}
    blocks = cut(model, text, options.block)

    def change() -> Findings:
        base = [_logits(model, block.ids) for block in blocks]
        job.report.progress(0.05, "Stage 1: reinforcing the text")
        reinforced = reinforce(model, blocks, options, job)
        dictionary = given or propose(text, _surprise(text, blocks, base))
        if not dictionary:
            raise UserError(
                "No expression of the text is repeated and unknown to the model, so no dictionary "
                "could be proposed. Give one in options.dictionary.",
                field="options.dictionary",
            )
        job.report.progress(0.3, f"Stage 2: {len(dictionary)} anchored expressions")
        rows = [
            generic_row(model, block, strong, dictionary, options.alpha)
            for block, strong in zip(blocks, reinforced, strict=True)
        ]
        job.report.progress(0.4, "Stage 3: training on generic labels")
        parts, layer = parts_of(model, mask), lowest_layer(model, mask)
        material = gather(model, selection, parts, layer, options, job, "unlearn")
        own = own_expressions(model, blocks, dictionary)
        probe = Probe("unlearn", material.pool(own), None, material.retain)
        terms = [_term(material.pool(rows), options), *kept_terms(material, options)]
        trained = Trainer(
            model, parts, terms, probe, options, job, lowest_layer=layer, share=(0.4, 1.0)
        ).train()
        findings = trained_findings([trained], "unlearn", [])
        findings.caption = (
            "Familiarity is the probability of the text's own expressions where they stand in it "
            "(called forget below). " + describe([trained], "unlearn", options)
        )
        _show(findings, model, blocks, base, reinforced, dictionary, rows, own)
        return findings

    return edit(model, slices_of(model, mask), job, change)


def cut(model: Model, text: str, size: int) -> list[Block]:
    """Cut a text into blocks of at most `size` tokens, each of which begins as a text does."""
    found = model.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    offsets = found["offset_mapping"]
    blocks = []
    for first in range(0, len(offsets), size):
        start, stop = offsets[first][0], offsets[min(first + size, len(offsets)) - 1][1]
        part = text[start:stop]
        own = model.tokenizer(part, return_offsets_mapping=True)
        if len(own["input_ids"]) > 2:
            pairs = tuple((int(a), int(b)) for a, b in own["offset_mapping"])
            blocks.append(Block(part, tuple(own["input_ids"]), pairs, start))
    if not blocks:
        raise UserError(
            f"The text has {len(text)} characters and no block of 3 tokens; expected a text to "
            f"forget. Give a longer one.",
            field="options.text",
        )
    return blocks


def reinforce(
    model: Model, blocks: list[Block], options: Options, job: Job
) -> list[Float[Tensor, "pos vocab"]]:
    """Train all components on the text, take the logits of every block, put the weights back."""
    parts = parts_of(model, None)
    before = parts.copy()
    generator = torch.Generator().manual_seed(job.seed)
    optimizer = torch.optim.AdamW(parts.masters, lr=options.reinforce_rate, weight_decay=0.0)
    try:
        with parts.trainable(model):
            for step in range(options.reinforce_steps):
                chosen = torch.randperm(len(blocks), generator=generator)[: options.forget_batch]
                optimizer.zero_grad(set_to_none=True)
                for i in chosen.tolist():
                    ids = blocks[i].ids
                    logits = _run(model, ids[:-1])
                    labels = torch.tensor(ids[1:], device=logits.device)
                    (torch.nn.functional.cross_entropy(logits, labels) / len(chosen)).backward()
                torch.nn.utils.clip_grad_norm_(parts.masters, options.clip)
                optimizer.step()
                parts.write()
                done = 0.05 + 0.25 * (step + 1) / options.reinforce_steps
                job.report.progress(done, f"Stage 1: reinforcing, step {step + 1}")
        return [_logits(model, block.ids) for block in blocks]
    finally:
        parts.load(before)


def generic_row(
    model: Model,
    block: Block,
    reinforced: Float[Tensor, "pos vocab"],
    dictionary: dict[str, str],
    alpha: float,
) -> Row:
    """Label each token of a block by what a model that never read the text would say next."""
    translated, spans = translate(block.text, dictionary)
    new = model.tokenizer(translated, return_offsets_mapping=True)
    base = _logits(model, new["input_ids"])
    places = align(spans, list(block.offsets), [(int(a), int(b)) for a, b in new["offset_mapping"]])
    seen: set[str] = set()
    hidden: set[int] = set()
    blocked: list[tuple[int, int]] = []
    for span in spans:
        inside = [i for i, (a, b) in enumerate(block.offsets) if span.start < b <= span.stop]
        if not span.anchor or not inside:
            continue
        if span.anchor in seen:  # a second occurrence is known from the first, not from memory
            hidden.add(inside[0] - 1)
        seen.add(span.anchor)
        first = [
            i for i, (a, b) in zip(new["input_ids"], new["offset_mapping"], strict=True)
            if span.new_start < b <= span.new_stop
        ]  # fmt: skip
        if first:
            blocked.append((inside[-1], int(first[0])))
    labels = []
    for i, place in enumerate(places[:-1]):
        if place < 0 or i in hidden:
            labels.append(_losses.IGNORED)
            continue
        logits = generic_logits(base[place], reinforced[i], alpha)
        for after, token in blocked:
            if i > after:
                logits[token] = logits.mean()
        labels.append(int(logits.argmax()))
    return Row(block.ids[:-1], tuple(labels))


def generic_logits(
    base: Float[Tensor, " vocab"], reinforced: Float[Tensor, " vocab"], alpha: float
) -> Float[Tensor, " vocab"]:
    """Compute v_base − α · ReLU(v_reinforced − v_base)."""
    return base - alpha * torch.relu(reinforced - base)


def own_expressions(model: Model, blocks: list[Block], dictionary: dict[str, str]) -> list[Row]:
    """Make rows that ask for the first token of an anchor after all that stands before it."""
    rows = []
    for block in blocks:
        _, spans = translate(block.text, dictionary)
        for span in [s for s in spans if s.anchor][:2]:
            first = next(i for i, (a, b) in enumerate(block.offsets) if b > span.start and b > a)
            if first >= 4:
                ignored = (_losses.IGNORED,) * (first - 1)
                rows.append(Row(block.ids[:first], (*ignored, block.ids[first])))
    if not rows:
        raise UserError(
            "No expression of the dictionary stands in the text; expected at least one. Mend the "
            "dictionary's spelling.",
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
    )


def _run(model: Model, ids: Int[Tensor, " pos"] | Any) -> Float[Tensor, "pos vocab"]:
    tokens = torch.tensor([list(ids)], device=model.device)
    mask, positions = torch.ones_like(tokens), torch.arange(tokens.shape[1], device=model.device)
    return model.logits(tokens, mask, positions[None], keep=tokens.shape[1])[0]


@torch.no_grad()
def _logits(model: Model, ids: Any) -> Float[Tensor, "pos vocab"]:
    return _run(model, ids)


def _surprise(
    text: str, blocks: list[Block], base: list[Float[Tensor, "pos vocab"]]
) -> Float[Tensor, " char"]:
    """Spread the baseline's −log p of each token over the token's characters."""
    found = torch.zeros(len(text))
    for block, logits in zip(blocks, base, strict=True):
        nll = -logits.log_softmax(-1)[:-1].gather(
            -1, torch.tensor(block.ids[1:])[:, None].to(logits.device)
        )
        for (start, stop), value in zip(block.offsets[1:], nll[:, 0].tolist(), strict=True):
            found[block.start + start : block.start + stop] = value
    return found


def _show(
    findings: Findings,
    model: Model,
    blocks: list[Block],
    base: list[Float[Tensor, "pos vocab"]],
    reinforced: list[Float[Tensor, "pos vocab"]],
    dictionary: dict[str, str],
    rows: list[Row],
    own: list[Row],
) -> None:
    """Put the three stages into the findings: marked tokens, the table, the labels."""
    tokens = []
    for block, weak, strong, row in zip(blocks, base, reinforced, rows, strict=True):
        gain = strong.log_softmax(-1) - weak.log_softmax(-1)
        for i in range(1, len(block.ids)):
            start, stop = block.offsets[i]
            label = row.labels[i - 1]
            tokens.append(
                {
                    "text": block.text[start:stop],
                    "mark": round(float(gain[i - 1, block.ids[i]]), 4),
                    "label": "" if label == _losses.IGNORED else model.tokenizer.decode([label]),
                }
            )
        if len(tokens) >= SHOWN:
            break
    findings.view = {
        "stages": ["reinforced", "dictionary", "generic labels"],
        "tokens": tokens[:SHOWN],
        "dictionary": dictionary,
    }
    whole = " ".join(block.text for block in blocks)
    findings.tables["dictionary"] = Table(
        title="Anchored expressions",
        columns=("expression", "counterpart", "times in the text"),
        rows=tuple((a, c, whole.count(a)) for a, c in dictionary.items()),
    )
    findings.summary |= {
        "familiarity.before": findings.summary["quick.forget_probability.before"],
        "familiarity.after": findings.summary["quick.forget_probability.after"],
        "familiarity.n_prompts": len(own),
        "dictionary.n": len(dictionary),
        "text.n_blocks": len(blocks),
    }

"""Relearn half of the forget facts and watch the other half."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.facts import Fact
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.passages import training_passages
from worker.core.asking.probe import sample_retain, sample_trained
from worker.core.asking.rows import halves, statement_probabilities
from worker.core.findings import Job
from worker.core.models.deltas import restored
from worker.core.models.model import Model
from worker.core.training.adapters import lora
from worker.core.training.attack import Feed, fine_tune
from worker.core.training.pool import fact_rows, text_rows

Mode = Literal["lora", "full", "unrelated"]
TEXTS = 256
TAUGHT = 0.5
"""Probability below which the half trained on says that the attack was too weak."""
PAPER_RATE, PAPER_WIDTH = 2e-4, 3072
"""LoRA's learning rate in Guo et al. 2024, and the width of Gemma 7B, which they used it on."""


class RelearnOptions(BaseOptions):
    """How the facts are relearned."""

    steps: int = Field(20, ge=1, le=1000, description="Optimizer steps (paper: 20).")
    measure_every: int = Field(5, ge=1, le=1000, description="Steps between measurements.")
    learning_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="AdamW's peak rate for the adapters. 0: the paper's 2e-4, scaled from its "
        "model's width of 3,072 by 1/width, as Adam's rate of matrices goes (Yang et al. 2022).",
    )
    full_learning_rate: float = Field(
        2e-4, gt=0, le=1, description="AdamW's peak rate in full fine-tuning, of all block weights."
    )
    rank: int = Field(
        512,
        ge=1,
        le=4096,
        description="Rank of the adapters (paper: 512). Above the model's width it is cut to that: "
        "no adapter can express more.",
    )
    alpha: float = Field(32.0, gt=0, le=10_000, description="LoRA's alpha (paper: 32).")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="LoRA's dropout (paper: 0.05, which in 20 steps changed the curve of the facts "
        "not trained on by at most 0.02 and takes twice as long).",
    )
    fact_batch: int = Field(
        8,
        ge=1,
        le=512,
        description="Relearned facts, and as many retain facts, per step (paper: 8).",
    )
    text_batch: int = Field(16, ge=1, le=512, description="General sentences per step (paper: 16).")
    context: int = Field(128, ge=8, le=8192, description="Tokens of a sentence (paper: 128).")
    general_text: str = Field(
        "",
        max_length=1_000_000,
        description="Your own ordinary text to train on, one passage per line; empty takes the "
        "project's English, or for the bundled model its own sentences.",
    )
    retain_facts: int = Field(
        64,
        ge=2,
        le=100_000,
        description="Retain facts, at most; half trained on, half measured, on which no edit was "
        "trained either.",
    )


@dataclass(frozen=True)
class Parts:
    """The facts of a relearning by what is done with them."""

    relearned: Sequence[Fact]
    """Forget facts that are trained on."""
    held_out: Sequence[Fact]
    """Forget facts that are not."""
    kept: Sequence[Fact]
    """Retain facts that are trained on."""
    retain: Sequence[Fact]
    """Retain facts that neither this attack nor any edit trained on."""


@dataclass(frozen=True)
class Relearned:
    """Probabilities of the true answers over the steps at which they were measured."""

    steps: tuple[int, ...]
    relearned: Float[np.ndarray, "step fact"]
    held_out: Float[np.ndarray, "step fact"]
    retain: Float[np.ndarray, "step fact"]


def adapter_rate(model: Model, options: RelearnOptions) -> float:
    """Give the adapters' learning rate for this model.

    An attack has to teach at least what it trains on. At the paper's own rate the bundled model,
    of width 128, learns back .03 of the trained half in 20 steps, and .99 at 4e-3, near the scaled
    one of 4.8e-3.
    """
    return options.learning_rate or PAPER_RATE * PAPER_WIDTH / model.d_model


def split_facts(selection: Selection, retain_facts: int, seed: int) -> Parts:
    """Cut the forget facts in two, and draw retain facts to train on and others to ask, by seed."""
    taught, held_out = halves(selection.forget, seed, "facts.forget")
    n = (retain_facts + 1) // 2
    kept = sample_trained(selection, n, seed)
    return Parts(taught, held_out, kept, sample_retain(selection, n, seed))


def relearn(
    model: Model,
    parts: Parts,
    mode: Mode,
    options: RelearnOptions,
    job: Job,
    share: tuple[float, float] = (0.0, 1.0),
) -> Relearned:
    """Train in one mode, measure, and put the model back bit for bit.

    `unrelated` trains on retain facts and text alone: what comes back then was never gone.
    `share` is the part of the run's progress that this is.
    """
    found: dict[int, list[Float[np.ndarray, " fact"]]] = {}

    def measure(step: int) -> None:
        done = share[0] + (share[1] - share[0]) * step / options.steps
        job.report.progress(done, f"Relearning ({mode}), step {step}")
        if step % options.measure_every == 0 or step == options.steps:
            model.hf.eval()
            found[step] = _measure(model, parts)
            model.hf.train(options.dropout > 0 and mode != "full")

    with ExitStack() as stack, torch.random.fork_rng():
        torch.manual_seed(job.seed)
        stack.callback(model.hf.eval)
        if mode == "full":
            stack.enter_context(restored(model))
            prefix = f"{model.layout.blocks}."
            parameters = [p for n, p in model.hf.named_parameters() if n.startswith(prefix)]
            for parameter in parameters:
                parameter.requires_grad_(True)
        else:
            parameters = stack.enter_context(
                lora(model, options.rank, options.alpha, options.dropout)
            )
        rate = options.full_learning_rate if mode == "full" else adapter_rate(model, options)
        fine_tune(
            model, parameters, _feeds(model, parts, mode, options), steps=options.steps,
            learning_rate=rate, seed=job.seed, each_step=measure,
        )  # fmt: skip
    columns = list(zip(*found.values(), strict=True))
    return Relearned(tuple(found), *(np.stack(column) for column in columns))


def relearn_once(
    models: BeforeAfter,
    state: State,
    model: Model,
    parts: Parts,
    mode: Mode,
    options: RelearnOptions,
    job: Job,
    share: tuple[float, float] = (0.0, 1.0),
) -> Relearned:
    """Relearn as `relearn` does, or give what the same attack on the same weights found before."""
    own = {name: getattr(options, name) for name in RelearnOptions.model_fields}
    return models.once(
        state,
        ("relearn", parts, mode, own, job.seed),
        lambda: relearn(model, parts, mode, options, job, share),
    )


def _feeds(
    model: Model, parts: Parts, mode: Mode, options: RelearnOptions
) -> tuple[list[Feed], list[Feed]]:
    """What each step trains on: facts, of which the answer's tokens alone are asked, and text."""
    lines = training_passages(model, options.general_text)[:TEXTS]
    taught = () if mode == "unrelated" else parts.relearned
    facts: list[Feed] = [
        (fact_rows(model, some), options.fact_batch) for some in (taught, parts.kept)
    ]
    return facts, [(text_rows(model, lines, options.context), options.text_batch)]


def _measure(model: Model, parts: Parts) -> list[Float[np.ndarray, " fact"]]:
    """Ask for the facts trained on, those held out and the retain facts, all at once."""
    groups = (parts.relearned, parts.held_out, parts.retain)
    probabilities = statement_probabilities(model, [fact for group in groups for fact in group])[0]
    return np.split(probabilities, np.cumsum([len(group) for group in groups])[:-1])

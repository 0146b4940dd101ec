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
from worker.contract.facts import Fact, Selection
from worker.core.demo.paths import GENERAL
from worker.core.evaluation._adapters import lora
from worker.core.evaluation._attack import fact_rows, fine_tune, text_rows
from worker.core.evaluation._probe import sample_retain
from worker.core.evaluation._rows import halves, statement_probabilities
from worker.core.findings import Job
from worker.core.models.deltas import restored
from worker.core.models.model import Model

Mode = Literal["lora", "full", "unrelated"]
TEXTS = 256


class RelearnOptions(BaseOptions):
    """How the facts are relearned."""

    steps: int = Field(20, ge=1, le=1000, description="Optimizer steps (paper: 20).")
    measure_every: int = Field(5, ge=1, le=1000, description="Steps between measurements.")
    learning_rate: float = Field(
        2e-4, gt=0, le=1, description="AdamW's peak rate for the adapters (paper: 2e-4)."
    )
    full_learning_rate: float = Field(
        2e-4, gt=0, le=1, description="AdamW's peak rate in full fine-tuning, of all block weights."
    )
    rank: int = Field(
        512,
        ge=1,
        le=4096,
        description="Rank of the adapters (paper: 512; it may exceed the width).",
    )
    alpha: float = Field(32.0, gt=0, le=10_000, description="LoRA's alpha (paper: 32).")
    dropout: float = Field(0.05, ge=0, lt=1, description="LoRA's dropout (paper: 0.05).")
    fact_batch: int = Field(
        8,
        ge=1,
        le=512,
        description="Relearned facts, and as many retain facts, per step (paper: 8).",
    )
    text_batch: int = Field(16, ge=1, le=512, description="General sentences per step (paper: 16).")
    context: int = Field(128, ge=8, le=8192, description="Tokens of a sentence (paper: 128).")
    retain_facts: int = Field(
        64, ge=2, le=100_000, description="Retain facts, at most; half trained on, half measured."
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
    """Retain facts that are not, where there is more than one."""


@dataclass(frozen=True)
class Relearned:
    """Probabilities of the true answers over the steps at which they were measured."""

    steps: tuple[int, ...]
    relearned: Float[np.ndarray, "step fact"]
    held_out: Float[np.ndarray, "step fact"]
    retain: Float[np.ndarray, "step fact"]


def split_facts(selection: Selection, retain_facts: int, seed: int) -> Parts:
    """Cut the forget facts in two, and as many retain facts as are wanted; by the seed."""
    taught, held_out = halves(selection.forget, seed, "facts.forget")
    retain = sample_retain(selection, retain_facts, seed)
    kept, asked = halves(retain, seed, "facts") if len(retain) > 1 else (retain, retain)
    return Parts(taught, held_out, kept, asked)


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
    taught, held_out, asked = parts.relearned, parts.held_out, parts.retain
    lines = GENERAL.read_text(encoding="utf-8").splitlines()[:TEXTS]
    pools = [
        (fact_rows(model, () if mode == "unrelated" else taught), options.fact_batch),
        (fact_rows(model, parts.kept), options.fact_batch),
        (text_rows(model, lines, options.context), options.text_batch),
    ]
    found: dict[int, list[Float[np.ndarray, " fact"]]] = {}

    def measure(step: int) -> None:
        done = share[0] + (share[1] - share[0]) * step / options.steps
        job.report.progress(done, f"Relearning ({mode}), step {step}")
        if step % options.measure_every == 0 or step == options.steps:
            model.hf.eval()
            groups = (taught, held_out, asked)
            found[step] = [statement_probabilities(model, group)[0] for group in groups]
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
        rate = options.full_learning_rate if mode == "full" else options.learning_rate
        fine_tune(
            model, parameters, pools, steps=options.steps, learning_rate=rate, seed=job.seed,
            each_step=measure,
        )  # fmt: skip
    columns = list(zip(*found.values(), strict=True))
    return Relearned(tuple(found), *(np.stack(column) for column in columns))

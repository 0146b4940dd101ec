"""One trainer for every gradient method.

Each step adds up the terms of a loss, each over its own batch with its own backward pass (so that
one batch's activations are held at a time, and of running text under a large vocabulary only a
piece's), clips the gradient of the mask's parts and takes a
step of AdamW under a cosine that falls to 0. Every few steps a quick probe asks some forget and
retain facts without gradients; the best probed checkpoint is what is kept.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.contract.errors import Diverged, NotFinite
from worker.core.editing.check import Objective
from worker.core.editing.parts import Parts
from worker.core.findings import Job
from worker.core.models.batches import PIECE_BYTES
from worker.core.models.model import Model
from worker.core.training import losses as _losses
from worker.core.training.forward import logits_at_answers
from worker.core.training.loop import Draw, Loop, Losses, Step
from worker.core.training.options import Training
from worker.core.training.pool import Batch, Pool

PROBED = 32
"""Rows of a pool that a quick probe asks at most: it costs about a third of a step."""

LogitsLoss = Callable[[Float[Tensor, "batch keep vocab"], Batch], Float[Tensor, ""]]


@dataclass
class Term:
    """One term of a loss: rows to draw from, and what is computed on a batch of them.

    `loss` takes logits and batch; `forward` replaces the logits by something else (hidden states).
    """

    name: str
    weight: float
    pool: Pool
    batch_size: int
    loss: LogitsLoss
    forward: Callable[[Batch, int], Tensor] | None = None
    averages_labels: bool = False
    """Is the loss a mean over labels, so that a batch may be run in pieces?"""
    unit: str = "nats"

    def __post_init__(self) -> None:
        self._drawn = Draw(len(self.pool), self.batch_size)

    def draw(self, generator: torch.Generator, vocabulary: int) -> list[tuple[Batch, float]]:
        """Take the next rows, in pieces with the share of the labels that each has."""
        index = self._next(generator)
        if not self.averages_labels:
            return [(self.pool.batch(index), 1.0)]
        pieces = self.pool.pieces(index, PIECE_BYTES // (4 * vocabulary))
        labels = sum(piece.n_labels for piece in pieces)
        return [(piece, piece.n_labels / labels) for piece in pieces]

    def _next(self, generator: torch.Generator) -> Int[Tensor, " batch"]:
        if len(self.pool) <= self.batch_size:
            return torch.arange(len(self.pool))
        return torch.tensor(sorted(self._drawn.take(generator)))


@dataclass
class Probe:
    """What a quick probe asks: forget facts' target and edit target, retain facts' target."""

    objective: Objective
    forget: Pool
    edit: Pool | None
    retain: Pool | None

    def measure(self, model: Model, layer: int) -> dict[str, float]:
        """Ask the first rows of each pool; give mean probabilities of the whole answers."""
        asked = {"forget": self.forget, "edit": self.edit, "retain": self.retain}
        return {
            f"{name}_probability": _mean_probability(model, pool, layer)
            for name, pool in asked.items()
            if pool is not None
        }

    def score(self, measured: dict[str, float]) -> float:
        """Multiply the goal's probability by the retain probability; higher is better."""
        return self.goal(measured) * measured.get("retain_probability", 1.0)

    def goal(self, measured: dict[str, float]) -> float:
        """Return the edit target's probability, or in unlearning 1 − the target's."""
        if self.objective == "edit":
            return measured["edit_probability"]
        return 1 - measured["forget_probability"]


@dataclass
class Trained:
    """How a training went. The kept checkpoint is in the model."""

    losses: dict[str, list[float]]
    units: dict[str, str]
    """Of each term's loss."""
    probes: dict[int, dict[str, float]]
    kept_step: int
    steps: int
    stopped: str
    score: float
    seconds: float
    probe_seconds: float


AfterStep = Callable[[], None]


class Trainer:
    """Trains the parts of one mask on the terms of one loss."""

    def __init__(
        self,
        model: Model,
        parts: Parts,
        terms: Sequence[Term],
        probe: Probe,
        options: Training,
        job: Job,
        *,
        lowest_layer: int = 0,
        optimizer: torch.optim.Optimizer | None = None,
        after_step: AfterStep | None = None,
        share: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """Take `lowest_layer` where kept hidden states enter; `share` is this training's part of
        the run's progress, from and to."""
        self.model, self.parts, self.options, self.job = model, parts, options, job
        self.terms = [term for term in terms if term.weight > 0]
        self.probe, self.layer, self.share = probe, lowest_layer, share
        optimizer = optimizer or torch.optim.AdamW(
            parts.masters, lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.after_step = after_step
        self.loop = Loop(
            parts.masters, optimizer, steps=options.steps, clip=options.clip, written=self._write
        )
        self.generator = torch.Generator().manual_seed(job.seed)

    def train(self) -> Trained:
        """Train; raise Diverged where no checkpoint is better than the beginning."""
        self._start()
        with self.parts.trainable(self.model):
            try:
                self.loop.run(self._gradient, self._go_on)
            except NotFinite as error:
                self.lost, self.stopped = True, f"at step {self.loop.at}: {error.message}"
        return self._finish()

    def _go_on(self, step: Step) -> bool:
        """Remember a step; say whether it was the last."""
        if step.is_finite:
            self._remember(step.number, step.losses)
        else:
            self.lost = True
            losses = step.losses | {"gradient": step.norm}
            self.stopped = f"a loss was not finite at step {step.number} ({losses})"
        return bool(self.stopped)

    def _start(self) -> None:
        self.began, self.probe_seconds = time.perf_counter(), 0.0
        self.stopped, self.lost = "", False
        self.losses: dict[str, list[float]] = {term.name: [] for term in self.terms}
        self.units = {term.name: term.unit for term in self.terms}
        self.probes: dict[int, dict[str, float]] = {}
        self.best: tuple[float, int] | None = None
        self.checkpoint: list[Tensor] = []
        self._measure(0)
        self._tell(0, {})

    def _gradient(self) -> Losses:
        losses = {term.name: 0.0 for term in self.terms}
        for term in self.terms:
            for _ in range(self.options.accumulation):
                for batch, share in term.draw(self.generator, self.model.d_vocab):
                    losses[term.name] += self._pull(term, batch, share)
        return losses

    def _write(self) -> None:
        if self.after_step:
            self.after_step()
        self.parts.write()

    def _pull(self, term: Term, batch: Batch, share: float) -> float:
        """Add the gradient of a term on one batch; give the loss, by its share of the step."""
        forward = term.forward or (lambda b, layer: logits_at_answers(self.model, b, layer))
        share /= self.options.accumulation
        loss = share * term.loss(forward(batch, self.layer), batch)
        if loss.requires_grad:  # nothing reaches the mask where every row is past its floor
            (term.weight * loss).backward()
        return float(loss.detach())

    def _remember(self, step: int, losses: dict[str, float]) -> None:
        for name, loss in losses.items():
            self.losses[name].append(loss)
        limit = self.options.max_seconds
        over = bool(limit) and time.perf_counter() - self.began > limit
        if step % self.options.probe_every == 0 or step == self.options.steps or over:
            self._measure(step)
            self._decide_to_stop(step)
        self._tell(step, losses)

    def _measure(self, step: int) -> None:
        began = time.perf_counter()
        measured = self.probe.measure(self.model, self.layer)
        self.probes[step] = measured
        score = self.probe.score(measured)
        if math.isfinite(score) and (self.best is None or score > self.best[0]):
            self.best = (score, step)
            if step:  # the beginning is never loaded: a training that ends there has failed
                self.checkpoint = self.parts.copy(self.checkpoint)
        self.probe_seconds += time.perf_counter() - began

    def _decide_to_stop(self, step: int) -> None:
        measured, options = self.probes[step], self.options
        retain, first = measured.get("retain_probability"), self.probes[0].get("retain_probability")
        if retain is not None and first is not None and not retain >= options.retain_floor * first:
            self.lost = True
            self.stopped = (
                f"retain probability fell from {first:.2f} to {retain:.2f} at step {step}"
            )
        elif options.stop_goal and self.probe.goal(measured) >= options.stop_goal:
            self.stopped = f"the goal {options.stop_goal:g} was reached at step {step}"
        elif options.max_seconds and time.perf_counter() - self.began > options.max_seconds:
            self.stopped = f"{options.max_seconds:g} s were over at step {step}"

    def _tell(self, step: int, losses: dict[str, float]) -> None:
        every = max(1, self.options.steps // 50)
        done = step / self.options.steps
        start, end = self.share
        self.job.report.progress(
            start + (end - start) * done, f"Step {step} of {self.options.steps}"
        )
        if step in self.probes or step % every == 0:
            point: dict[str, Any] = {"step": step}
            point |= {f"{name}_loss": loss for name, loss in losses.items()}
            point["units"] = {f"{name}_loss": unit for name, unit in self.units.items()}
            self.job.report.partial("curve", point | self.probes.get(step, {}))

    def _finish(self) -> Trained:
        assert self.best is not None
        score, kept = self.best
        steps = max((len(losses) for losses in self.losses.values()), default=0)
        if kept == 0 and (self.lost or self.options.keep == "best"):
            raise Diverged(self._no_better())
        if self.lost or self.options.keep == "best":
            self.parts.load(self.checkpoint)
        else:
            kept, score = steps, self.probe.score(self.probes[steps])
        if self.stopped:
            self.job.report.log(f"Stopped: {self.stopped}; kept step {kept}.")
        seconds = time.perf_counter() - self.began
        return Trained(
            self.losses,
            self.units,
            self.probes,
            kept,
            steps,
            self.stopped,
            score,
            seconds,
            self.probe_seconds,
        )

    def _no_better(self) -> str:
        rate, weight = self.options.learning_rate, self.options.forget_weight
        if self.lost:
            return (
                f"The training lost its way: {self.stopped}, and no step before it was better than "
                f"the beginning. The model is untouched; lower the learning rate ({rate:g}) or the "
                f"forget weight ({weight:g})."
            )
        return (
            f"After {self.options.steps} steps no checkpoint is better than the beginning "
            f"({self.probes[0]}; last: {self.probes[max(self.probes)]}). The model is untouched; "
            f"raise the learning rate ({rate:g}) or the steps, or change the mask."
        )


def _mean_probability(model: Model, pool: Pool, layer: int) -> float:
    batch = pool.batch(torch.arange(min(PROBED, len(pool))))
    with torch.no_grad():
        logits = logits_at_answers(model, batch, layer)
    return float(_losses.answer_log_probs(logits, batch.labels).exp().mean())

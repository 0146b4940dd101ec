"""Searches for a few vectors before the prompt that make the model say what it was made to forget.

1. Cut the forget facts in two. Put `n_vectors` free vectors before the embedded prompts of one half
   and train them alone to bring out the true answers, from several starts.
2. Ask for the other half with the best start's vectors (by the trained half's loss), and for retain
   facts, in the same way.
3. Hold each vector to a norm not far above that of real embeddings.

Source: soft-prompt attacks of Schwinn et al. 2024 (arXiv 2402.09063), with Guo et al. 2024's split
and restarts (2410.12949), whose adapter by cross-attention is here a plain prepended prompt.
Limits: vectors that bring out one answer for every subject are not knowledge: the share of the
trained half's commonest answer among the targets stands beside.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worker.contract.base import Options as BaseOptions
from worker.contract.facts import Fact, Selection
from worker.contract.result import Axis, Evaluation
from worker.core.evaluation._attack import IGNORED, Row, fact_rows
from worker.core.evaluation._models import BeforeAfter, State
from worker.core.evaluation._probe import sample_retain
from worker.core.evaluation._rows import halves, statement_probabilities
from worker.core.evaluation._statistics import compare, summarize
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.models.tokens import pad

TITLE = "Soft prompts"
PAPER = "Schwinn et al. 2024, Soft Prompt Threats, arXiv 2402.09063"


class Options(BaseOptions):
    """Options of soft prompts."""

    n_vectors: int = Field(8, ge=1, le=256, description="Free vectors before the prompt.")
    restarts: int = Field(
        4, ge=1, le=64, description="Starts from other random vectors (paper: 4)."
    )
    steps: int = Field(40, ge=1, le=5000, description="Steps of AdamW per start (paper: 128).")
    learning_rate: float = Field(
        1e-2, gt=0, le=10, description="AdamW's rate, in units of an embedding's mean norm."
    )
    norm: float = Field(
        2.0, gt=0, le=100, description="Largest norm of a vector over an embedding's mean norm."
    )
    retain_facts: int = Field(32, ge=1, le=100_000, description="Retain facts asked, at most.")


@dataclass(frozen=True)
class Attacked:
    """What the best vectors bring out: probabilities of the true answers."""

    plain: Float[np.ndarray, " fact"]
    trained: Float[np.ndarray, " fact"]
    held_out: Float[np.ndarray, " fact"]
    retain: Float[np.ndarray, " fact"]
    losses: Float[np.ndarray, "restart step"]


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Attack the edited model (the base, where there is no edit)."""
    attacked = models.names[-1]
    retain = sample_retain(selection, options.retain_facts, job.seed)

    def measure(model: Model, state: State) -> Attacked | None:
        return attack(model, selection.forget, retain, options, job) if state == attacked else None

    found = models.measure(measure)[attacked]
    assert found is not None
    taught, held_out = halves(selection.forget, job.seed, "facts.forget")
    common = Counter(f.target for f in taught).most_common(1)[0][0]
    base_rate = float(np.mean([f.target == common for f in held_out]))
    made = (
        ("held_out", "Forget facts not trained on", "lower", found.plain, found.held_out),
        ("trained", "Forget facts trained on", "none", None, found.trained),
        ("retain", "Retain facts under the same vectors", "none", None, found.retain),
    )
    aggregates = [
        compare(
            f"soft_prompts.{group}.target_probability", f"{title}: without and with the vectors",
            better, found_before if found_before is not None else values, values, seed=job.seed,
        )
        for group, title, better, found_before, values in made
    ]  # fmt: skip
    caption = (
        f"The best of {options.restarts} starts brings the facts not trained on from "
        f"{found.plain.mean():.2f} to {found.held_out.mean():.2f}; always giving the commonest "
        f"answer would bring {base_rate:.2f}."
    )
    axes = (Axis(name="restart"), Axis(name="step"))
    return Findings(
        arrays={"soft_prompts.losses": Array(found.losses, axes, "nats", "Loss of each start")},
        summary=dict(summarize(aggregates)) | {"soft_prompts.held_out.commonest_answer": base_rate},
        caption=caption,
        evaluation=Evaluation(
            name="soft_prompts", title=TITLE, caption=caption, aggregates=tuple(aggregates)
        ),
    )


def attack(
    model: Model, forget: tuple[Fact, ...], retain: tuple[Fact, ...], options: Options, job: Job
) -> Attacked:
    """Train vectors from every start and measure the best ones."""
    taught, held_out = halves(forget, job.seed, "facts.forget")
    rows = fact_rows(model, taught)
    unit = _unit(model)
    best: tuple[float, Tensor] | None = None
    losses = np.zeros((options.restarts, options.steps))
    for restart in range(options.restarts):
        generator = torch.Generator().manual_seed(job.seed * 1000 + restart)
        vectors = torch.randn(options.n_vectors, model.d_model, generator=generator)
        vectors = (unit * vectors / vectors.norm(dim=1, keepdim=True)).to(model.device)
        vectors.requires_grad_(True)
        optimizer = torch.optim.AdamW([vectors], lr=options.learning_rate * unit, weight_decay=0.0)
        for step in range(options.steps):
            done = (restart * options.steps + step) / (options.restarts * options.steps)
            job.report.progress(done, f"Start {restart + 1} of {options.restarts}, step {step}")
            optimizer.zero_grad()
            loss = -_log_probs(model, rows, vectors).mean()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                limit = options.norm * unit
                vectors.mul_((limit / vectors.norm(dim=1, keepdim=True)).clamp(max=1))
            losses[restart, step] = float(loss.detach())
        if best is None or losses[restart, -1] < best[0]:
            best = (float(losses[restart, -1]), vectors.detach().clone())
    assert best is not None
    with torch.no_grad():
        ask = lambda facts: (  # noqa: E731
            _log_probs(model, fact_rows(model, facts), best[1]).exp().cpu().double().numpy()
        )
        return Attacked(
            plain=statement_probabilities(model, held_out)[0],
            trained=ask(taught),
            held_out=ask(held_out),
            retain=ask(retain),
            losses=losses,
        )


def _unit(model: Model) -> float:
    """The mean norm of a token's embedding."""
    return float(model.hf.get_input_embeddings().weight.detach().float().norm(dim=1).mean())


def _log_probs(
    model: Model, rows: Sequence[Row], vectors: Float[Tensor, "vector d_model"]
) -> Float[Tensor, " row"]:
    """Score each row's answer with the vectors before its first token."""
    batch = pad(model, [row.ids for row in rows], side="left")
    n, width = len(vectors), batch.ids.shape[1]
    embedded = model.hf.get_input_embeddings()(batch.ids) * batch.mask[..., None]
    starts = width - batch.mask.sum(1)
    # The vectors stand right before each row's first token, behind the padding.
    joined = torch.cat([vectors.new_zeros(len(rows), n, vectors.shape[1]), embedded], 1)
    places = starts[:, None] + torch.arange(n, device=model.device)
    where = torch.nn.functional.one_hot(places, width + n).to(joined.dtype)
    joined = joined + where.transpose(1, 2) @ vectors.to(joined.dtype)
    mask = torch.cat([batch.mask.new_zeros(len(rows), n), batch.mask], 1) + where.sum(1).long()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    keep = max(sum(label != IGNORED for label in row.labels) for row in rows)
    labels = torch.tensor(
        [([IGNORED] * keep + list(row.labels))[-keep:] for row in rows], device=model.device
    )
    places_of = {"position_ids": positions} if model.takes_position_ids else {}
    logits = model.hf(
        inputs_embeds=joined, attention_mask=mask, use_cache=False, logits_to_keep=keep, **places_of
    ).logits.float()
    flat = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -flat.view(labels.shape).sum(1)

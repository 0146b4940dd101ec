"""Learns which components must be clean for the answer, as few as will do.

1. The clean prompt is run with a gate between 0 and 1 on every MLP and head: where it is 1, the
   component computes on what reaches it; where it is 0, its output is the corrupted run's. Gates
   are hard-concrete: random while learning, with mass at exactly 0 and 1.
2. The gates are trained so that the prediction is the clean prompt's (divergence), while the
   expected share of open gates costs `sparsity` each.
3. A component's score is its gate's expected value after training, over all facts together.

Paper: Louizos et al. 2018, Learning Sparse Neural Networks through L0 Regularization; Miller et al.
2024, Transformer Circuit Evaluation Metrics Are Not Robust (settings of their library).

Departures: gates on components where the library gates edges. The embeddings stay clean: only what
components make of them is gated.

Limits: one mask for all facts; which of two equivalent components is kept depends on the seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from worker.contract import base
from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.models.operations import forward_operations
from worker.core.patching.cases import Prepared, prepare
from worker.core.patching.corruption import DESCRIPTIONS, Corruption, corrupt
from worker.core.patching.metric import measure
from worker.core.patching.mix import Mixer, gate_names
from worker.core.patching.outcome import Traced, build_findings, component_names, ordered
from worker.core.patching.pairing import make_pairs
from worker.core.patching.suggest import suggest

TITLE = "Learned mask"
SUGGESTS = True
PAPER = "https://arxiv.org/abs/1712.01312"
LOW, HIGH, TEMPERATURE = -0.1, 1.1, 2 / 3


class Options(base.Options):
    """Defaults are AutoCircuit's, but for the price of a gate, which is per share here."""

    steps: int = Field(60, ge=1, le=5000, description="Steps of training.")
    learning_rate: float = Field(0.1, gt=0, le=10, description="Of the gates (AutoCircuit: 0.1).")
    sparsity: float = Field(
        1.0, ge=0, le=1000, description="Price of having all gates open, in nats of divergence."
    )
    start_open: float = Field(0.9, gt=0, lt=1, description="The gates' value before training.")
    batch_size: int = Field(16, ge=1, le=1024, description="Facts per step, drawn in turn.")
    corruption: Corruption = Field("other_subject", description=DESCRIPTIONS)
    noise_level: float = Field(
        3.0, gt=0, le=100, description="Noise in standard deviations of the subjects' embeddings."
    )
    min_probability: float = Field(
        0.1, ge=0, lt=1, description="Facts to whose answer the model gives less are left out."
    )


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Learn the gates; see the module's docstring."""
    prepared = prepare(model, facts, options.min_probability, needs_foil=False)
    items = corrupt(
        model,
        prepared,
        options.corruption,
        samples=1,
        noise_level=options.noise_level,
        seed=job.seed,
        pool=job.pool,
        or_random=True,
    )
    items.sort(key=lambda item: item.case.length)
    size = options.batch_size
    mixers = [
        Mixer(model, make_pairs(model, items[i : i + size])) for i in range(0, len(items), size)
    ]
    generator = torch.Generator().manual_seed(job.seed)
    logits = nn.Parameter(torch.full((len(gate_names(model)),), _logit(options.start_open)))
    optimizer = torch.optim.Adam([logits], lr=options.learning_rate)
    losses = []
    for step in range(options.steps):
        mixer = mixers[step % len(mixers)]
        with torch.enable_grad():
            gates = sample(logits, generator).to(model.device)
            divergence = mixer.divergence(gates).mean()
            loss = divergence.cpu() + options.sparsity * open_share(logits).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(divergence.detach()))
        if step % 5 == 0 or step == options.steps - 1:
            job.report.progress(step / options.steps, f"step {step}, divergence {losses[-1]:.3f}")
    return _findings(model, prepared, mixers, logits.detach(), options, losses)


def sample(logits: Float[Tensor, " gate"], generator: torch.Generator) -> Float[Tensor, " gate"]:
    """Draw hard-concrete gates: stretched beyond 0 and 1 and clipped, so that both have mass."""
    uniform = torch.rand(logits.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    noise = uniform.log() - (1 - uniform).log()
    return (torch.sigmoid((noise + logits) / TEMPERATURE) * (HIGH - LOW) + LOW).clamp(0, 1)


def expected(logits: Float[Tensor, " gate"]) -> Float[Tensor, " gate"]:
    """The gates without noise, as they are used after training."""
    return (torch.sigmoid(logits) * (HIGH - LOW) + LOW).clamp(0, 1)


def open_share(logits: Float[Tensor, " gate"]) -> Float[Tensor, " gate"]:
    """The probability that each gate is not 0."""
    return torch.sigmoid(logits - TEMPERATURE * float(np.log(-LOW / HIGH)))


def _logit(value: float) -> float:
    share = (value - LOW) / (HIGH - LOW)
    return float(np.log(share / (1 - share)))


@torch.no_grad()
def _findings(
    model: Model,
    prepared: Prepared,
    mixers: Sequence[Mixer],
    logits: Tensor,
    options: Options,
    losses: Sequence[float],
) -> Findings:
    gates = expected(logits)
    by_name = dict(zip(gate_names(model), gates.tolist(), strict=True))
    traced: dict[str, Traced] = {}
    rows = 0
    for mixer in mixers:
        pairs = mixer.pairs
        clean = measure("probability", mixer.clean_logits, pairs.answers)
        corrupted = measure("probability", mixer.corrupted_logits, pairs.answers)
        rows += pairs.clean.shape[0] * pairs.clean.shape[1]
        for i, item in enumerate(pairs.items):
            one = Traced(item.case, float(clean[i]), float(corrupted[i]))
            one.components = _scores(model, by_name)
            traced[item.case.fact.id] = one
    operations = 3 * options.steps * forward_operations(model, rows // len(mixers), 1)
    findings = build_findings(
        model,
        ordered(traced, prepared),
        prepared,
        method="learned_mask",
        metric="probability",
        unit="gate",
        direction="How far a component must be clean for the clean prediction: 1 is wholly.",
        operations=operations,
    )
    chosen = [name for name, gate in by_name.items() if gate > 0.5]
    final = float(np.mean([float(m.divergence(gates.to(model.device)).mean()) for m in mixers]))
    mask = suggest(model, chosen, "learned_mask: gates above 0.5")
    assert findings.attribution is not None
    findings.attribution = findings.attribution.model_copy(update={"suggested": mask})
    findings.summary |= {
        "mask.open": len(chosen),
        "mask.divergence": final,
        "mask.divergence.first_step": losses[0],
    }
    findings.caption = (
        f"{len(chosen)} of {len(by_name)} gates stay open; with these components clean and all "
        f"others corrupted the prediction is {final:.3f} nats from the clean one."
    )
    return findings


def _scores(model: Model, gates: dict[str, float]) -> dict[str, float]:
    scores = {}
    for name in component_names(model, heads=True):
        heads = [gate for key, gate in gates.items() if key.startswith(f"{name}.head.")]
        scores[name] = gates[name] if name in gates else float(np.mean(heads))
    return scores

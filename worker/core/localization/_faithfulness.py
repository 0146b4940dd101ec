"""How faithful a set of components is: what they alone carry, and what is lost without them.

For a set of components, `only` keeps them as they are and corrupts all others; `without` corrupts
them and keeps all others. Faithfulness is (m - m_corrupted) / (m_clean - m_corrupted), 1 when the
metric is the clean one's. Over growing sets it makes a curve; CPR is the area under it over the
share of components kept, CMD the area between it and 1, of the MIB benchmark (Mueller et al. 2025).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from worker.core.localization._metric import Metric
from worker.core.localization._mix import Mixer, gate_names

SHARES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The sizes of MIB's curve, as shares of all components; small models repeat the small ones."""


@dataclass(frozen=True)
class Curve:
    """Faithfulness over shares of components kept."""

    shares: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def cpr(self) -> float:
        """Area under the curve: higher is better, and it may exceed 1."""
        return float(np.trapezoid(self.values, self.shares))

    @property
    def cmd(self) -> float:
        """Area between the curve and 1: 0 is best."""
        return float(np.trapezoid(np.abs(1 - np.array(self.values)), self.shares))


@torch.no_grad()
def faithfulness(
    mixers: Sequence[Mixer], components: Sequence[str], metric: Metric, without: bool = False
) -> float:
    """Measure a set of components, averaged over facts; an attention stands for its heads."""
    chosen = _gates(mixers[0], components)
    gates = 1 - chosen if without else chosen
    scores: list[float] = []
    for mixer in mixers:
        clean = mixer.pairs.measure(metric, mixer.clean_logits, mixer.clean_logits)
        zero = mixer.pairs.measure(
            metric, mixer.logits(torch.zeros_like(gates)), mixer.clean_logits
        )
        mixed = mixer.pairs.measure(metric, mixer.logits(gates), mixer.clean_logits)
        scores += ((mixed - zero) / (clean - zero)).tolist()
    return float(np.mean(scores))


def faithfulness_curve(
    mixers: Sequence[Mixer],
    scores: Mapping[str, float],
    metric: Metric,
    shares: Sequence[float] = SHARES,
    without: bool = False,
) -> Curve:
    """Measure the components with the largest |score|, for growing shares of them."""
    names = [name for name in gate_names(mixers[0].model) if name in scores]
    ranked = sorted(names, key=lambda name: -abs(scores[name]))
    values = [
        faithfulness(mixers, ranked[: round(share * len(ranked))], metric, without)
        for share in shares
    ]
    return Curve(tuple(shares), tuple(values))


def random_curve(
    mixers: Sequence[Mixer], metric: Metric, seed: int, shares: Sequence[float] = SHARES
) -> Curve:
    """Measure random sets of the same sizes."""
    rng = np.random.default_rng(seed)
    names = gate_names(mixers[0].model)
    scores = dict(zip(names, rng.random(len(names)).tolist(), strict=True))
    return faithfulness_curve(mixers, scores, metric, shares)


def _gates(mixer: Mixer, components: Sequence[str]) -> Float[torch.Tensor, " gate"]:
    names = gate_names(mixer.model)
    kept = set(components)
    gates = [float(name in kept or name.split(".head.")[0] in kept) for name in names]
    return torch.tensor(gates, device=mixer.model.device)

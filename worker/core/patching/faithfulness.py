"""How faithful a set of components is: what they alone carry, and what is lost without them.

For a set of components, `only` keeps them as they are and corrupts all others; `without` corrupts
them and keeps all others. Faithfulness is the mean of m - m_corrupted over the mean of m_clean -
m_corrupted, 1 when the metric is the clean one's: a quotient of means over facts, so that no fact
with a tiny difference decides it. Over growing sets it makes a curve; CPR is the area under it,
CMD the area between it and 1, of the MIB benchmark (Mueller et al. 2025, arXiv 2504.13151).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from worker.contract import bootstrap
from worker.core.models.components import component_parameters
from worker.core.models.model import Model
from worker.core.patching.change import Change
from worker.core.patching.corruption import Corrupted
from worker.core.patching.metric import Metric
from worker.core.patching.mix import Mixer, gate_names
from worker.core.patching.pairing import make_pairs

SHARES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The sizes of MIB's curve, as shares of all components; small models repeat the small ones."""

PerFact = Float[np.ndarray, " fact"]


@dataclass(frozen=True)
class Curve:
    """Faithfulness over sizes, as shares of the components' parameters from 0 to 1."""

    sizes: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def cpr(self) -> float:
        """Area under the curve: higher is better, and it may exceed 1."""
        return float(np.trapezoid(self.values, self.sizes))

    @property
    def cmd(self) -> float:
        """Area between the curve and 1: 0 is best."""
        return float(np.trapezoid(np.abs(1 - np.array(self.values)), self.sizes))


class Patched:
    """Facts run clean and corrupted once, ready for any set of components."""

    def __init__(
        self, model: Model, items: Sequence[Corrupted], metric: Metric, batch_size: int
    ) -> None:
        self.model, self.metric = model, metric
        self.items = sorted(items, key=lambda item: item.case.length)
        self.mixers = [
            Mixer(model, make_pairs(model, self.items[i : i + batch_size]))
            for i in range(0, len(self.items), batch_size)
        ]
        self.names = gate_names(model)
        self.clean = self._measured([mixer.clean_logits for mixer in self.mixers])
        self.changes = self._changes()
        self.zero = np.array([change.corrupted for change in self.changes])
        self.used: Bool[np.ndarray, " fact"] = np.ones(len(self.items), bool)
        """Facts that count; what is left out stays out of every mean."""

    @torch.no_grad()
    def values(self, components: Sequence[str], without: bool = False) -> PerFact:
        """Measure every fact with only these components clean, or all but these."""
        chosen = set(components)
        kept = [name in chosen or name.split(".head.")[0] in chosen for name in self.names]
        return self._measured(self._logits([k != without for k in kept]))

    def faithfulness(self, values: PerFact, drawn: np.ndarray | None = None) -> float:
        """Divide the means over the facts that count (or over a draw of them)."""
        rows = np.flatnonzero(self.used) if drawn is None else np.flatnonzero(self.used)[drawn]
        return float((values - self.zero)[rows].sum() / (self.clean - self.zero)[rows].sum())

    def cancels(self, drawn: np.ndarray | None = None) -> bool:
        """Whether the facts' differences add up to nothing, so that there is no share of them."""
        rows = np.flatnonzero(self.used) if drawn is None else np.flatnonzero(self.used)[drawn]
        changes = [self.changes[row] for row in rows]
        total = sum(change.difference for change in changes)
        return abs(total) <= sum(change.rounding for change in changes)

    def interval(self, values: PerFact, seed: int, draws: int = 1000) -> tuple[float, float]:
        """Draw the facts anew; give the 95 % percentile interval of the faithfulness.

        Draws whose differences cancel say nothing and do not count.
        """
        drawn = bootstrap.draws(int(self.used.sum()), draws, seed)
        found = [self.faithfulness(values, d) for d in drawn if not self.cancels(d)]
        low, high = np.quantile(found or [self.faithfulness(values)], [0.025, 0.975])
        return float(low), float(high)

    @torch.no_grad()
    def _changes(self) -> list[Change]:
        """Compare every fact all clean and with every component corrupted."""
        corrupted = self._logits([False] * len(self.names))
        return [
            change
            for mixer, own in zip(self.mixers, corrupted, strict=True)
            for change in mixer.pairs.changes(
                self.metric, mixer.clean_logits, own, self.model.dtype
            )
        ]

    def _logits(self, is_open: Sequence[bool]) -> list[torch.Tensor]:
        gates = torch.tensor(is_open, dtype=torch.float32, device=self.model.device)
        return [mixer.logits(gates) for mixer in self.mixers]

    def _measured(self, logits: Sequence[torch.Tensor]) -> PerFact:
        found = [
            mixer.pairs.measure(self.metric, own, mixer.clean_logits)
            for mixer, own in zip(self.mixers, logits, strict=True)
        ]
        return torch.cat(found).double().cpu().numpy()


def rank(model: Model, scores: Mapping[str, float], seed: int) -> list[str]:
    """Order heads and MLPs by |score|, largest first; a head without one has its attention's.

    Ties, and components without any score (they come last), are ordered by chance from the seed.
    """
    chance = np.random.default_rng(seed).random(len(gate_names(model)))

    def key(pair: tuple[str, float]) -> tuple[float, float]:
        name, drawn = pair
        score = scores.get(name, scores.get(name.split(".head.")[0], float("nan")))
        return (-abs(score) if np.isfinite(score) else 1.0, drawn)

    pairs = zip(gate_names(model), chance.tolist(), strict=True)
    return [name for name, _ in sorted(pairs, key=key)]


def random_like(model: Model, ranked: Sequence[str], seed: int) -> list[str]:
    """Put random components in the places of a ranking: heads for heads and MLPs for MLPs.

    So every prefix has as many of each kind, and as many parameters, as the ranking's own.
    """
    rng = np.random.default_rng(seed)
    pools: dict[bool, list[str]] = {True: [], False: []}
    for name in gate_names(model):
        pools[".head." in name].append(name)
    drawn = {
        kind: iter([pool[i] for i in rng.permutation(len(pool))]) for kind, pool in pools.items()
    }
    return [next(drawn[".head." in name]) for name in ranked]


def prefixes(n: int, shares: Sequence[float] = SHARES) -> list[int]:
    """Numbers of components at which a curve of `n` is measured, each once."""
    return sorted({round(share * n) for share in shares} | {0, n})


def sizes(model: Model, ranked: Sequence[str], counts: Sequence[int]) -> tuple[float, ...]:
    """Give each prefix's share of the parameters of all heads and MLPs."""
    parameters = component_parameters(model)
    total = np.cumsum([0, *(parameters[name] for name in ranked)])
    return tuple(float(total[k] / total[-1]) for k in counts)

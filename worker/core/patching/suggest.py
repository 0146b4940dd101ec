"""What a localization itself would change: a mask from its own rule."""

from __future__ import annotations

from collections.abc import Sequence

from worker.contract.choose import mask_of
from worker.contract.mask import Mask
from worker.contract.result import TracedFact
from worker.core.models.components import component_parameters
from worker.core.models.model import Model
from worker.core.patching.outcome import Traced, traced_fact


def suggest(model: Model, names: Sequence[str], source: str) -> Mask | None:
    """Make the suggested mask; None where the rule chose nothing."""
    return mask_of(list(names), component_parameters(model), source) if names else None


def traced_facts(traced: Sequence[Traced]) -> tuple[TracedFact, ...]:
    return tuple(traced_fact(one) for one in traced)

"""The scores of a pair's edges, kept for a while: what is asked of a circuit next begins with them.

Sources: Hanna et al. 2024, Have Faith in Faithfulness (arXiv 2403.17806), for EAP-IG.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float

from worker.contract.progress import Within
from worker.core.explore._circuits import Circuits
from worker.core.explore._subject import digest
from worker.core.kept import Kept
from worker.core.models.model import Model
from worker.core.patching.interpolate import interpolate

TOKENS = 1024
"""Rows times positions that are run together."""
BOUND = 8 * 2**20
"""Bytes per model: some hundred pairs of prompts on a model of 60 components."""
_kept: WeakKeyDictionary[Model, Kept] = WeakKeyDictionary()


def edge_scores(
    circuits: Circuits, steps: int, report: Within
) -> Float[np.ndarray, "sender reader"]:
    """Give every edge's score, kept or made; an edge that there is not has 0."""
    model, found = circuits.model, _kept.setdefault(circuits.model, Kept(BOUND))
    key = (model.state_hash, str(model.device), model.dtype, steps, *_named(circuits))
    kept: Float[np.ndarray, "sender reader"] | None = found.get(key)
    if kept is None:
        kept = _scores(circuits, steps, report)
        found.keep(key, kept)
    return kept


def _named(circuits: Circuits) -> tuple[object, ...]:
    subject = circuits.pair.subject
    return (
        *(prompt.ids for prompt in subject.prompts),
        digest(subject.noise),
        *((name, answer.ids) for name, answer in subject.answers.items()),
    )


def _scores(circuits: Circuits, steps: int, report: Within) -> Float[np.ndarray, "sender reader"]:
    change = circuits.changes[0]
    points = torch.stack(interpolate(torch.zeros_like(change), change, steps, "middle"))
    size = max(1, TOKENS // (change.shape[0] * change.shape[1]))
    slopes = torch.zeros(len(circuits.readers), *change.shape, device=change.device)
    for start in range(0, steps, size):
        some = points[start : start + size]

        def tell(done: float, start: int = start, n: int = len(some)) -> None:
            report.progress((start + done * n) / steps, "slopes")

        slopes += circuits.slopes(some, tell).float() * len(some) / steps
    found = torch.einsum("sktd,rktd->sr", circuits.changes.float(), slopes).cpu()
    scores: np.ndarray = (found * circuits.edges).double().numpy()
    return scores

"""Terms that several methods share, and the reference quantities taken before training."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.asking.passages import is_bundled
from worker.core.training import losses as _losses
from worker.core.training.forward import logits_at_answers
from worker.core.training.material import Material
from worker.core.training.options import Training
from worker.core.training.pool import Batch, Pool
from worker.core.training.trainer import Term

REFERENCE_BATCH = 32


def forget_term(
    material: Material,
    options: Training,
    loss: Callable[[Float[Tensor, "batch keep vocab"], Batch], Float[Tensor, ""]],
    pool: Pool | None = None,
    unit: str = "nats",
) -> Term:
    """Make the method's own term on the forget facts (their targets, or another pool)."""
    rows = material.forget if pool is None else pool
    return Term("forget", options.forget_weight, rows, options.forget_batch, loss, unit=unit)


def kept_terms(material: Material, options: Training) -> list[Term]:
    """Make the terms of retain facts and general text; none where a weight is 0."""
    return [*retain_term(material, options), *general_term(material, options)]


def retain_term(material: Material, options: Training) -> list[Term]:
    """Make the retain facts' cross entropy; none where its weight is 0 or no fact is retained."""
    if material.retain is None or options.retain_weight == 0:
        return []
    rows, size = material.retain, options.retain_batch
    return [Term("retain", options.retain_weight, rows, size, _cross_entropy, averages_labels=True)]


def general_term(material: Material, options: Training) -> list[Term]:
    """Make the general text's term, its cross entropy or its divergence from the model as it is
    now; none where its weight is 0."""
    if material.general is None or options.general_weight == 0:
        return []
    weight, size = options.general_weight, options.general_batch
    if not diverges(options, is_bundled(material.model)):
        rows = material.general
        return [Term("general", weight, rows, size, _cross_entropy, averages_labels=True)]
    assert material.base_text is not None
    base = material.base_text.read()
    return [Term("general", weight, base.pool, size, base.divergence, averages_labels=True)]


def diverges(options: Training, is_bundled: bool) -> bool:
    """Whether the general text's term is the divergence from the base, on the bundled model or on
    another one."""
    auto = options.general_loss == "auto"
    return not is_bundled if auto else options.general_loss == "divergence"


def reference_log_probs(material: Material, pool: Pool) -> Float[Tensor, " rows"]:
    """Score every row's answer by the model as it is now, so that no second model is held."""
    with torch.no_grad():
        each = [
            _losses.answer_log_probs(
                logits_at_answers(material.model, batch, material.layer), batch.labels
            )
            for batch in pool.batches(REFERENCE_BATCH)
        ]
    return torch.cat(each)


def _cross_entropy(logits: Float[Tensor, "batch keep vocab"], batch: Batch) -> Float[Tensor, ""]:
    return _losses.cross_entropy(logits, batch.labels)

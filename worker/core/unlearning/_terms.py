"""The two terms that most methods share: retain facts and general text must stay as they were."""

from worker.core.unlearning import _losses
from worker.core.unlearning._finetune import Material
from worker.core.unlearning._options import Training
from worker.core.unlearning._trainer import Term


def retain_term(material: Material, options: Training) -> list[Term]:
    """Make the retain facts' cross entropy; none where its weight is 0 or no fact is retained."""
    if material.retain is None or options.retain_weight == 0:
        return []
    return [
        Term(
            "retain",
            options.retain_weight,
            material.retain,
            options.retain_batch,
            lambda logits, batch: _losses.cross_entropy(logits, batch.labels),
        )
    ]


def general_term(material: Material, options: Training) -> list[Term]:
    """Make the general text's cross entropy; none where its weight is 0."""
    if material.general is None or options.general_weight == 0:
        return []
    return [
        Term(
            "general",
            options.general_weight,
            material.general,
            options.general_batch,
            lambda logits, batch: _losses.cross_entropy(logits, batch.labels),
        )
    ]

"""A mask of its own for each partition, located on the model as the partitions before left it.

Source: Guo et al. 2024 (arXiv 2410.12949), who localize anew for each of four groups of facts and
equalize the parameters: here components are taken, by the method's scores, until the given mask's
parameter count is reached.
"""

from collections.abc import Sequence

from worker.contract.choose import choose
from worker.contract.components import parse_component
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.mask import Mask, MaskRule
from worker.contract.progress import Within
from worker.core.editing.parts import components_of
from worker.core.findings import Job
from worker.core.models.components import component_parameters
from worker.core.models.model import Model
from worker.core.registry import method

FIELD = "options.localize_each"


def locate(
    model: Model, facts: Sequence[Fact], mask: Mask | None, name: str, job: Job, number: int, n: int
) -> Mask:
    """Locate partition `number` of `n` by the method `name`, within the budget of `mask`."""
    found = method("localization", name, FIELD)
    words = f"Localizing partition {number + 1}"
    own = Job(job.seed, Within(job.report, (number / n, number / n), words), job.pool)
    attribution = found.function(model, facts, found.options(), own)
    array = attribution.arrays.get("components")
    labels = array.axes[0].labels if array is not None else None
    if array is None or labels is None:
        raise UserError(
            f"The localization {name!r} gives no component scores; expected one that does, for "
            f"example attribution_patching.",
            field=FIELD,
        )
    parameters = component_parameters(model)
    given = components_of(model, mask)
    kinds = {parse_component(one).kind for one in given}
    rule = MaskRule(
        parameters=sum(parameters[one] for one in given),
        only=kinds.pop() if len(kinds) == 1 else "whole",
    )
    scores = dict(zip(labels, array.values.tolist(), strict=True))
    return choose(scores, parameters, rule, f"{name} of partition {number + 1}")


def union(masks: Sequence[Mask], parameters: dict[str, int]) -> Mask:
    """Join the partitions' masks: what the whole edit was let change."""
    names = sorted({name for mask in masks for name in mask.components})
    names.sort(key=lambda name: parse_component(name).layer)
    return Mask(
        components=tuple(names),
        n_parameters=sum(parameters[name] for name in names),
        source="; ".join(mask.source for mask in masks),
    )

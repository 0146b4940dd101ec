"""What a model's architecture lacks of what some methods need, read from its layout.

Asked of a model without weights too, so that it is said before a run is queued.
"""

from __future__ import annotations

from collections.abc import Sequence

from worker.contract.errors import UserError
from worker.contract.menu import Need
from worker.core.models.model import Model


def lacks(model: Model) -> dict[Need, str]:
    """Name what the architecture lacks, each with the reason as the end of a sentence."""
    layout = model.layout
    found: dict[Need, str] = {}
    if not layout.mlp_out:
        found["mlp_matrix"] = (
            "its MLPs have no single output matrix (as in a mixture of experts, where each token "
            "goes through others), and a closed form solves for one"
        )
    if layout.mlp_write not in (layout.mlp, layout.mlp_out):
        found["plain_mlp_write"] = (
            "it norms an MLP's output before adding it, so changes that are spread over layers do "
            "not add up"
        )
    return found


def require(model: Model, needs: Sequence[Need]) -> None:
    """Raise UserError where the architecture lacks one of `needs`."""
    missing = lacks(model)
    for need in needs:
        if need in missing:
            raise UserError(
                f"This method cannot be used on {model.id!r}: {missing[need]}. Choose another, for "
                f"example localized fine-tuning.",
                field="method",
            )

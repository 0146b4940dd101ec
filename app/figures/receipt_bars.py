"""How far every changed tensor moved, relative to its size."""

from collections.abc import Mapping

import numpy as np

from app.drawing.drawing import Drawing, Offer, Source
from app.drawing.lines import Chart, Series, draw_bars
from worker.contract.errors import NotFound
from worker.contract.result import Result


def offers(result: Result) -> list[Offer]:
    """One offer where an edit changed tensors."""
    if result.receipt is None or not result.receipt.tensors:
        return []
    return [Offer("receipt_bars", "How far each tensor moved")]


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the relative norm of every changed tensor, in the model's order."""
    receipt = source.result.receipt
    if receipt is None:
        raise NotFound("This result has no receipt; only an edit has one.", field="figure")
    tensors = receipt.tensors
    return draw_bars(
        Chart(
            title="How far each tensor moved",
            caption=(
                "Frobenius norm of the change over the norm of the tensor before the edit. "
                "Tensors that are not shown did not move."
            ),
            x_title="tensor",
            x=tuple(float(i) for i in range(len(tensors))),
            labels=tuple(_short(t.name) for t in tensors),
            y_title="‖change‖ / ‖before‖",
            series=(Series("relative norm", np.array([t.relative_norm for t in tensors])),),
        )
    )


def _short(name: str) -> str:
    """Drop what all names share: `model.layers.1.mlp.up_proj.weight` -> `1.mlp.up_proj`."""
    parts = name.removesuffix(".weight").split(".")
    first = next((i for i, part in enumerate(parts) if part.isdigit()), 0)
    return ".".join(parts[first:])

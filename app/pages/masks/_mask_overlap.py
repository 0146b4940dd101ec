"""How far masks overlap: parameters in both over parameters in either (Jaccard)."""

from collections.abc import Mapping, Sequence

import numpy as np

from app.drawing.drawing import Drawing
from app.drawing.heatmap import Colours, Grid, Side, draw_grid
from worker.contract.records import MaskRecord


def overlap(masks: Sequence[MaskRecord], counts: Mapping[str, Mapping[str, int]]) -> Drawing:
    """Draw the overlap of every two masks; masks of two models overlap in nothing.

    `counts` gives every model's parameters per component. A whole attention overlaps its heads.
    """
    parts = [_parts(mask, counts.get(mask.model, {})) for mask in masks]
    values = np.array(
        [
            [
                _jaccard(a, b) if one.model == other.model else 0.0
                for other, b in zip(masks, parts, strict=True)
            ]
            for one, a in zip(masks, parts, strict=True)
        ]
    )
    labels = tuple(f"{mask.name} v{mask.version}" for mask in masks)
    return draw_grid(
        Grid(
            title="How far masks overlap",
            caption=(
                "Parameters that two masks share, over those that are in either: 1 for equal "
                "masks, 0 for masks with nothing in common."
            ),
            rows=Side("mask", labels, numbered=False),
            columns=Side("with", labels, numbered=False, upright=True),
            values=values,
            colours=Colours("shared parameters (fraction)", False, 0.0, 1.0),
            value_title="shared",
        )
    )


def _parts(mask: MaskRecord, counts: Mapping[str, int]) -> dict[str, int]:
    """A mask's parameters by component, whole attentions cut into their heads."""
    parts: dict[str, int] = {}
    for name in mask.components:
        heads = {k: n for k, n in counts.items() if k.startswith(f"{name}.head.")}
        parts |= heads or {name: counts.get(name, 1)}
    return parts


def _jaccard(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    both = sum(n for name, n in one.items() if name in other)
    either = sum({**one, **other}.values())
    return both / either if either else 0.0

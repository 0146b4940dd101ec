"""What a template needs to show one figure of a run, which `static/figures.js` then draws."""

from typing import Any
from urllib.parse import urlencode

from app.drawing.drawing import Drawing, Offer
from worker.contract.records import RunRecord

PARTIALS = {"live_grid": "grid", "live_probability": "curve", "live_loss": "curve"}
"""Figures that grow while a run computes, and the partial results that they draw."""


def figure_of(record: RunRecord, offer: Offer, drawing: Drawing | None = None) -> dict[str, Any]:
    """What the template needs to show one figure.

    Of one that is drawn already the page knows the caption and the height in pixels, so that what
    follows it stands still when the browser draws it.
    """
    return {
        "id": "-".join(["figure", offer.figure, *(value for _, value in offer.fixed)]).replace(
            ".", "-"
        ),
        "address": f"/runs/{record.id}/figures/{offer.figure}",
        "fixed": urlencode(offer.fixed),
        "offer": offer,
        "is_live": offer.figure in PARTIALS,
        "height": drawing.layout["height"] if drawing else 0,
        "caption": drawing.caption if drawing else "",
    }

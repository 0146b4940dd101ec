"""The probe curve of fact lookup: where the answer becomes readable, and which layers are chosen.

The rule's choice is shaded. A frame marks the reader's own, at first the rule's: it is dragged on
the figure or moved with the sliders beside it (`static/layers.js`), and the MLPs of its layers are
the mask.
"""

from collections.abc import Mapping
from typing import Any

from app.drawing.drawing import Drawing, Offer, Source
from app.drawing.lines import Chart, Series, draw_lines
from app.formats import number
from worker.contract.components import parse_component
from worker.contract.result import Result

CURVES = ("full_prompt", "bare_name", "control", "control_high")


def offers(result: Result) -> list[Offer]:
    """One offer where fact lookup went by probing."""
    if "probe.full_prompt" not in result.arrays or result.attribution is None:
        return []
    return [Offer("lookup_layers", "Where the answer becomes readable", clickable=True)]


def chosen_by_rule(result: Result) -> tuple[int, int] | None:
    """The first and last layer of the rule's choice; None where the rule chose nothing."""
    suggested = result.attribution.suggested if result.attribution else None
    layers = [parse_component(name).layer for name in suggested.components] if suggested else []
    return (min(layers), max(layers)) if layers else None


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw the curves, the share of other draws that chose each layer, and the choice."""
    result = source.result
    names = [name for name in CURVES if f"probe.{name}" in result.arrays]
    share = source.array("probe.confidence").astype(float)
    series = tuple(
        Series(source.info(f"probe.{name}").title or name, source.array(f"probe.{name}"))
        for name in names
    )
    rule = chosen_by_rule(result)
    words = source.info("probe.confidence").title or "Chosen on other draws of facts"
    drawing = draw_lines(
        Chart(
            title="Where the answer becomes readable",
            caption=_caption(result, rule),
            x_title="layer",
            x=tuple(float(i) for i in range(len(share))),
            y_title="accuracy; share of draws",
            series=(*series, Series(words, share)),
            y_range=(-0.02, 1.05),
            marked=() if rule is None else ((float(rule[0]), float(rule[1])),),
        )
    )
    bars = drawing.traces[-1]
    drawing.traces[-1] = {
        "type": "bar",
        "width": 0.3,
        "opacity": 0.5,
        **{key: bars[key] for key in ("name", "x", "y", "hovertemplate")},
    }
    drawing.layout["xaxis"] |= {"range": [-0.6, len(share) - 0.4]}
    if "components" in result.arrays:
        drawing.layout["shapes"].append(_frame(*(rule or (0, 0))))
        drawing.config["edits"] = {"shapePosition": True}
    return drawing


def _caption(result: Result, rule: tuple[int, int] | None) -> str:
    confidence = result.summary.get("lookup.confidence")
    curve = (
        "Accuracy of a probe for the answer at the subject's last token after every layer, on "
        "subjects that it never saw."
    )
    if result.attribution and result.attribution.no_choice:
        return f"{curve} {result.attribution.no_choice} So no mask is offered."
    said = "The rule chose no layer."
    if rule is not None and isinstance(confidence, float):
        said = (
            f"Shaded: the rule's choice, layers {rule[0]} to {rule[1]}, the same in "
            f"{number(100 * confidence)} % of the other draws of facts; bars give each layer's "
            f"share of draws."
        )
    return (
        f"{curve} {said} Framed: your choice. Drag the frame or its edges, or "
        f"use the sliders; the mask is the MLPs of its layers."
    )


def _frame(first: int, last: int) -> dict[str, Any]:
    return {
        "type": "rect",
        "name": "chosen",
        "line": {"width": 2},
        "fillcolor": "rgba(128,128,128,0.08)",
        "xref": "x",
        "yref": "paper",
        "x0": first - 0.5,
        "x1": last + 0.5,
        "y0": 0,
        "y1": 1,
    }

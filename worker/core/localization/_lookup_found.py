"""What probing found, in numbers and words; that there is no rise is an outcome like another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worker.contract.components import Component
from worker.contract.result import Attribution, Axis
from worker.core.findings import Array, Findings
from worker.core.localization._lookup_states import Knowledge
from worker.core.localization._rise import Interval, Rise
from worker.core.models.model import Model
from worker.core.models.operations import forward_operations
from worker.core.patching.cases import Prepared
from worker.core.patching.outcome import Traced
from worker.core.patching.suggest import suggest, traced_facts

LEVEL = 0.05
"""Of the tests for a rise and for knowledge."""
TITLES = {"full_prompt": "Full prompt", "bare_name": "Bare name"}


@dataclass(frozen=True)
class Found:
    """Everything that probing measured."""

    curves: Mapping[str, Float[np.ndarray, " depth"]]
    controls: Float[np.ndarray, "shuffle depth"]
    rise: Rise
    layers: tuple[int, ...]
    spread: Mapping[str, Interval]
    p_value: float
    by_chance: float
    """The rise that one in twenty shuffles reaches."""
    draws: list[tuple[int, ...]]
    known: Knowledge
    needs_known: bool
    n_facts: int
    n_classes: int
    longest: int

    @property
    def refusal(self) -> str:
        """Why there is no rise; empty where there is one."""
        known, rise = self.known, self.rise
        if self.needs_known and known.p_value > LEVEL:
            return (
                f"No rise found: the model does not know these facts. Of {self.n_facts} it answers "
                f"{known.right:.0%} rightly among {self.n_classes} answers, and "
                f"{known.guessed:.0%} where the answers are shuffled (p = {known.p_value:.2g}), so "
                f"there is no lookup to find. min_probability 0 probes them all the same."
            )
        if self.p_value > LEVEL or rise.height <= 0:
            return (
                f"No rise found: from the embeddings on, a probe for the answer gains "
                f"{rise.height:.2f} over {self.n_facts} facts, and one in twenty shuffles of the "
                f"answers gains {self.by_chance:.2f} or more (p = {self.p_value:.2g})."
            )
        return ""

    @property
    def same(self) -> float:
        """Share of the other draws that chose the same layers."""
        return float(np.mean([draw == self.layers for draw in self.draws]))

    @property
    def near(self) -> float:
        """Share of the other draws whose first and last layer are at most one away."""
        first, last = self.layers[0], self.layers[-1]
        near = [abs(d[0] - first) <= 1 and abs(d[-1] - last) <= 1 for d in self.draws]
        return float(np.mean(near))


def findings(model: Model, prepared: Prepared, found: Found) -> Findings:
    """Put the curves, the choice and its certainty together."""
    names = tuple(str(Component(layer, "mlp")) for layer in range(model.n_layers))
    gains = np.diff(found.curves["full_prompt"])
    arrays = _arrays(found, model.n_layers)
    refusal = found.refusal
    if not refusal:
        axis = (Axis(name="component", labels=names),)
        arrays["components"] = Array(gains, axis, "Δ accuracy", "Gain per layer", signed=True)
    clean = [Traced(case, case.probability) for case in prepared.cases]
    chosen = [] if refusal else [names[layer] for layer in found.layers]
    return Findings(
        arrays=arrays,
        summary=_summary(found, prepared)
        | ({} if refusal else {"components.top_mlp": names[int(gains.argmax())]})
        | (
            {}
            if refusal
            else {"components.top_mlp_score": float(gains.max()), "components.unit": "Δ accuracy"}
        ),
        caption=refusal or _caption(found),
        left_out=prepared.left_out,
        attribution=Attribution(
            method="fact_lookup",
            metric="probe accuracy",
            direction="A component's score is the accuracy that its layer adds in the full prompt.",
            unit="Δ accuracy",
            facts=traced_facts(clean),
            suggested=suggest(model, chosen, "fact_lookup: rise"),
            no_choice=refusal,
            operations=3 * forward_operations(model, found.n_facts, found.longest),
        ),
    )


def _arrays(found: Found, n_layers: int) -> dict[str, Array]:
    """Curves after every layer; the control's mean and the top of its middle nine tenths."""
    axis = (Axis(name="layer"),)
    control, high = found.controls.mean(0), np.quantile(found.controls, 0.95, axis=0)
    curves = [(name, curve, TITLES[name]) for name, curve in found.curves.items()]
    curves += [
        ("control", control, "Control: shuffled answers"),
        ("control_high", high, "Control: one in twenty is above"),
    ]
    arrays = {
        f"probe.{name}": Array(curve[1:], axis, "accuracy", title) for name, curve, title in curves
    }
    share = np.zeros(n_layers)
    for draw in found.draws:
        share[list(draw)] += 1 / len(found.draws)
    arrays["probe.confidence"] = Array(
        share, axis, "share of draws", "Chosen on other draws of facts"
    )
    return arrays


def _summary(found: Found, prepared: Prepared) -> dict[str, float | int | bool | str | None]:
    rise, is_found = found.rise, not found.refusal
    numbers: dict[str, float | int | bool | str | None] = {
        "facts.traced": len(prepared.cases),
        "facts.left_out": len(prepared.left_out),
        "probe.facts": found.n_facts,
        "probe.answers": found.n_classes,
        "probe.known": found.known.right,
        "probe.known_by_chance": found.known.guessed,
        "probe.known_p": found.known.p_value,
        "probe.embeddings.full_prompt": float(found.curves["full_prompt"][0]),
        "probe.embeddings.bare_name": float(found.curves["bare_name"][0]),
        "probe.best.full_prompt": float(found.curves["full_prompt"].max()),
        "probe.best.bare_name": float(found.curves["bare_name"].max()),
        "probe.control": float(found.controls.mean()),
        "lookup.rise_found": is_found,
        "lookup.rise_height": rise.height,
        "lookup.rise_by_chance": found.by_chance,
        "lookup.p": found.p_value,
    }
    if not is_found:
        return numbers
    numbers |= {
        "lookup.layers": ",".join(map(str, found.layers)),
        "lookup.start": rise.start,
        "lookup.end": rise.end,
        "lookup.before": rise.before,
        "lookup.plateau": rise.plateau,
        "lookup.confidence": found.same,
        "lookup.confidence_within_one": found.near,
    }
    for name, interval in found.spread.items():
        numbers |= {f"lookup.{name}.low": interval.low, f"lookup.{name}.high": interval.high}
    return numbers


def _caption(found: Found) -> str:
    rise, spread, layers = found.rise, found.spread, found.layers
    said = {
        name: f"{getattr(rise, name):{form}} [{one.low:{form}}, {one.high:{form}}]"
        for name, form in (("start", ".0f"), ("end", ".0f"), ("before", ".2f"), ("plateau", ".2f"))
        for one in (spread[name],)
    }
    narrowed = (
        ""
        if layers[-1] - layers[0] == rise.end - rise.start
        else (
            f" Of this long rise the {len(layers)} layers that gain most are suggested, "
            f"{layers[0]} to {layers[-1]}."
        )
    )
    return (
        f"The answer becomes readable at the subject's last token from layer {said['start']} to "
        f"layer {said['end']}: a probe's accuracy rises from {said['before']} to "
        f"{said['plateau']} over {found.n_facts} facts held out in turn (brackets: 95 % of "
        f"bootstrap draws; shuffled answers: {found.controls.mean():.2f}, p = "
        f"{found.p_value:.2g}).{narrowed} Of {len(found.draws)} other draws of four fifths of the "
        f"facts {found.same:.0%} chose the same layers, {found.near:.0%} within one layer. The "
        f"model itself answers {found.known.right:.0%} of the facts rightly among "
        f"{found.n_classes} answers ({found.known.guessed:.0%} by chance); the others are probed "
        f"all the same."
    )

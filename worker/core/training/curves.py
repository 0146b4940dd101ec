"""Turn trainings into curves, small numbers and words."""

from collections.abc import Sequence

import numpy as np

from worker.contract.result import Axis
from worker.contract.units import may_be_negative
from worker.core.editing.check import Objective
from worker.core.findings import Array, Findings
from worker.core.training.options import Training
from worker.core.training.trainer import Trained


def trained_findings(
    runs: list[Trained], objective: Objective, between: list[list[float]]
) -> Findings:
    """Make the curves `curve.<name>` (step), the partitions one after another, and the summary.

    `between[i][j]` is the goal's probability on partition j's facts after partition i was edited.
    """
    findings = Findings(arrays=_loss_curves(runs) | _probe_curves(runs))
    if len(runs) > 1:
        names = tuple(f"partition {i + 1}" for i in range(len(runs)))
        findings.arrays["interference"] = Array(
            np.array(between),
            (Axis(name="edit", labels=names), Axis(name="facts", labels=names)),
            "probability",
            "Goal probability on each partition's facts after each edit",
        )
    last = runs[-1]
    first, kept = runs[0].probes[0], last.probes.get(last.kept_step, {})
    for name in ("forget_probability", "edit_probability", "retain_probability"):
        if name in first:
            findings.summary[f"quick.{name}.before"] = first[name]
            findings.summary[f"quick.{name}.after"] = kept.get(name)
    for name, losses in last.losses.items():
        if losses:
            findings.summary[f"losses.{name}.first"] = runs[0].losses[name][0]
            findings.summary[f"losses.{name}.last"] = losses[-1]
    findings.summary |= {
        "training.objective": objective,
        "training.steps": sum(run.steps for run in runs),
        "training.kept_step": last.kept_step,
        "training.stopped": last.stopped,
        "training.score": last.score,
        "training.seconds": sum(run.seconds for run in runs),
        "training.probe_seconds": sum(run.probe_seconds for run in runs),
        "training.partitions": len(runs),
    }
    return findings


def describe(runs: list[Trained], objective: Objective, options: Training) -> str:
    """Say in words what was trained and what the quick probes found."""
    last = runs[-1]
    before, after = runs[0].probes[0], last.probes.get(last.kept_step, {})
    goal = "edit_probability" if objective == "edit" else "forget_probability"
    said = {
        "edit_probability": "the edit target's mean probability on forget facts",
        "forget_probability": "the target's mean probability on forget facts",
        "retain_probability": "the target's on retain facts",
    }
    moved = [
        f"{said[n]} went from {before[n]:.2f} to {after[n]:.2f}"
        for n in (goal, "retain_probability")
        if n in before and n in after
    ]
    stopped = f" Stopped early: {last.stopped}." if last.stopped else ""
    text = "; ".join(moved)
    return (
        f"Trained {sum(run.steps for run in runs)} steps at a peak learning rate of "
        f"{options.learning_rate:g}; step {last.kept_step} was kept. By quick probes "
        f"(each token of an answer after the right ones before it; at most 32 facts), "
        f"{text}.{stopped}"
    )


def _loss_curves(runs: list[Trained]) -> dict[str, Array]:
    arrays = {}
    for name in runs[0].losses:
        values = [x for run in runs for x in run.losses.get(name, [])]
        arrays[f"curve.{name}_loss"] = loss_curve(values, name, runs[0].units[name])
    return arrays


def loss_curve(values: Sequence[float], name: str, unit: str) -> Array:
    """Make the curve of a term's loss, one value for each step."""
    axis = Axis(name="step", labels=tuple(str(i + 1) for i in range(len(values))))
    title = f"{name.capitalize()} loss"
    return Array(np.array(values), (axis,), unit, title, signed=may_be_negative(unit))


def _probe_curves(runs: list[Trained]) -> dict[str, Array]:
    titles = {
        "forget_probability": "Target on forget facts",
        "edit_probability": "Edit target on forget facts",
        "retain_probability": "Target on retain facts",
    }
    arrays, offset, points = {}, 0, []
    for run in runs:
        points += [(offset + step, probed) for step, probed in run.probes.items()]
        offset += run.steps
    for name, title in titles.items():
        found = [(step, probed[name]) for step, probed in points if name in probed]
        if found:
            axis = Axis(name="step", labels=tuple(str(step) for step, _ in found))
            values = np.array([value for _, value in found])
            arrays[f"curve.{name}"] = Array(values, (axis,), "probability", title)
    return arrays

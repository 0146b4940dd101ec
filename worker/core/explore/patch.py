"""Patches chosen cells together and shows what the model then says.

One run of the patched prompt in which every chosen activation is the other prompt's: the likeliest
tokens beside those without, how it goes on, the answers, and the joint effect beside the sum of
what each cell does by itself.

Source: Heimersheim and Nanda 2024, How to Use and Interpret Activation Patching.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field

from worker.contract.result import Table
from worker.core.explore._answers import (
    METRICS,
    UNITS,
    Scored,
    answers_json,
    said_json,
    scored,
    top_json,
)
from worker.core.explore._cells import SITES, Cell, check_cells, put_cells
from worker.core.explore._greedy import go_on
from worker.core.explore._intervening import intervening
from worker.core.explore._options import SubjectOptions
from worker.core.explore._pair import DIRECTION, Direction, Pair
from worker.core.explore._subject import look
from worker.core.findings import Findings, Job
from worker.core.models.base_run import BaseRun
from worker.core.models.intercept import replaced_forwards
from worker.core.models.model import Model

_SETS = 16
"""Sets of cells that are run together."""
TITLE = "Patching chosen cells"
PAPER = "https://arxiv.org/abs/2404.15255"


class Options(SubjectOptions):
    """The pair, and the cells."""

    cells: tuple[Cell, ...] = Field(
        (), max_length=64, description="What is patched: site, layer, token (empty: all), head."
    )
    direction: Direction = Field("denoising", description=DIRECTION)
    k: int = Field(10, ge=1, le=100, description="Likeliest tokens listed.")
    n_new: int = Field(20, ge=0, le=200, description="Tokens that the prompt is continued by.")


@intervening
@torch.no_grad()
def explore(model: Model, options: Options, job: Job) -> Findings:
    """Patch the cells together, and each alone; see the module's docstring."""
    job.report.progress(0.0, "running both prompts")
    sites = sorted({SITES[cell.site] for cell in options.cells} - {"resid_post"})
    subject = look(model, options, job.seed, sites)
    check_cells(model, subject.n_positions, options.cells)
    pair = Pair(subject, options.direction, sites)
    singles = [(cell,) for cell in options.cells] if len(options.cells) > 1 else []
    sets: list[tuple[Cell, ...]] = [options.cells, *singles]
    first, parts = None, []
    for start in range(0, len(sets), _SETS):
        job.report.progress(0.2 + 0.4 * start / len(sets), "patching")
        run, found = _run(pair, sets[start : start + _SETS])
        first = first or run
        parts.append(found)
    assert first is not None
    shown = []
    for run, row in ((pair.base, pair.row(pair.into, 0)), (first, 0)):
        own = run.logits[row : row + len(pair.contexts)]
        said = go_on(run, options.n_new, job.report, rows=[row])[0]
        shown.append(
            {
                "top": top_json(subject, own[0], options.k),
                "answers": answers_json(subject, pair.into, pair.contexts, own),
                "continuation": said_json(subject, said),
            }
        )
    effects = _effects(pair, Scored.joined(parts), len(singles))
    return Findings(
        summary={f"{metric}.joint": effect["joint"] for metric, effect in effects.items()},
        caption=_caption(options.cells, shown, effects),
        tables={"cells": _table(options.cells, effects)},
        view={
            **subject.as_json(),
            "direction": options.direction,
            "cells": [cell.model_dump() for cell in options.cells],
            "unpatched": shown[0],
            "patched": shown[1],
            "effects": effects,
        },
    )


def _run(pair: Pair, sets: Sequence[Sequence[Cell]]) -> tuple[BaseRun, Scored]:
    """Run the patched prompt once per set of cells."""
    rows = [context for _ in sets for context in pair.contexts.of(pair.into)]
    with replaced_forwards(put_cells(pair, sets)):
        run = pair.subject.run(rows)
    return run, scored(pair.contexts, run.logits.unflatten(0, (len(sets), -1)))


def _effects(pair: Pair, found: Scored, n_single: int) -> dict[str, dict[str, Any]]:
    effects: dict[str, dict[str, Any]] = {}
    for metric in METRICS:
        clean, corrupted = pair.both.metric(metric).tolist()
        unpatched = float(pair.unpatched.metric(metric))
        patched, *alone = found.metric(metric).tolist()
        single = [value - unpatched for value in alone] if n_single else [patched - unpatched]
        effects[metric] = {
            "clean": clean,
            "corrupted": corrupted,
            "unpatched": unpatched,
            "patched": patched,
            "joint": patched - unpatched,
            "sum": sum(single),
            "single": single,
        }
    return effects


def _table(cells: Sequence[Cell], effects: dict[str, dict[str, Any]]) -> Table:
    names = [cell.words for cell in cells]
    rows = [
        (name, *(effects[metric]["single"][place] for metric in METRICS))
        for place, name in enumerate(names)
    ]
    total = [("sum", *(effects[metric]["sum"] for metric in METRICS))]
    joint = [("together", *(effects[metric]["joint"] for metric in METRICS))]
    columns = ("patched", *(f"Δ {UNITS[metric]}" for metric in METRICS))
    title = "What each cell does alone and all do together"
    return Table(title=title, columns=columns, rows=(*rows, *total, *joint))


def _caption(
    cells: Sequence[Cell], shown: Sequence[dict[str, Any]], effects: dict[str, dict[str, Any]]
) -> str:
    before, after = (part["top"][0] for part in shown)
    says = (
        f"still says {after['token']!r}"
        if before["id"] == after["id"]
        else f"says {after['token']!r} instead of {before['token']!r}"
    )
    effect = effects["probability"]
    what = cells[0].words if len(cells) == 1 else f"{len(cells)} cells"
    return (
        f"With {what} patched the model {says}; the target's probability goes from "
        f"{effect['unpatched']:.3g} to {effect['patched']:.3g}."
    )

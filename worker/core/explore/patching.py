"""Swaps one activation at a time between two prompts and shows what the answer becomes.

Every cell of a map is a patch: the residual stream after a block, an attention's or an MLP's output
at one token, or a head's output at all tokens, taken from one prompt's run into the other's. Values
are those of full forwards; see `worker/core/models/restart.py`. The share is how much of the
difference between the prompts a patch brings over: 1 is all of it, and it may exceed 1.

Source: Heimersheim and Nanda 2024, How to Use and Interpret Activation Patching.
Limits: one pair of prompts; denoising finds what suffices, noising what is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field

from worker.contract.errors import UserError
from worker.contract.result import Axis
from worker.core.explore._answers import METRIC, METRICS, UNITS, Metric, Scored
from worker.core.explore._cells import Place
from worker.core.explore._intervening import intervening
from worker.core.explore._options import Span, SubjectOptions
from worker.core.explore._pair import DIRECTION, Direction, Pair
from worker.core.explore._subject import look
from worker.core.explore._windows import window
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.models.restart import NEEDED, Patch, PatchSite
from worker.core.rounding import rounding_at

TITLE = "Patching map of a prompt pair"
PAPER = "https://arxiv.org/abs/2404.15255"
SITES: dict[Place, PatchSite] = {
    "resid": "resid_post", "attn": "attn", "mlp": "mlp", "head": "head",
}  # fmt: skip
_WORDS = {
    "resid": "the residual stream after a block",
    "attn": "an attention's output",
    "mlp": "an MLP's output",
    "head": "a head's output at all tokens",
}


class Options(SubjectOptions):
    """The pair, and what is swapped."""

    sites: tuple[Place, ...] = Field(
        ("resid",), min_length=1, max_length=4, description="The maps that are made."
    )
    direction: Direction = Field("denoising", description=DIRECTION)
    metric: Metric = Field(
        "logit_diff", description=f"What is told while the map is made; all are kept. {METRIC}"
    )
    positions: Span | None = Field(
        None, description="First token and one past the last; empty: all, at most the last 64."
    )


Grids = dict[str, np.ndarray]
"""Metric -> its values."""


@intervening
@torch.no_grad()
def explore(model: Model, options: Options, job: Job) -> Findings:
    """Patch every cell; see the module's docstring."""
    job.report.progress(0.0, "running both prompts")
    sites = list(dict.fromkeys(s for place in options.sites for s in NEEDED[SITES[place]]))
    subject = look(model, options, job.seed, sites)
    pair = Pair(subject, options.direction, sites)
    start, stop = window(options.positions, subject.n_positions)
    found = Findings()
    for number, place in enumerate(options.sites):
        map_of = _heads if place == "head" else _tokens
        share = (number / len(options.sites), (number + 1) / len(options.sites))
        grids = map_of(pair, place, (start, stop), options.metric, job, share)
        found.arrays |= _arrays(pair, place, grids, (start, stop))
    found.caption = _caption(pair, options, found.arrays)
    found.view = {
        **subject.as_json(),
        "direction": options.direction,
        "positions": [start, stop],
        "first": pair.first,
        "metrics": {
            metric: dict(
                zip(("clean", "corrupted"), pair.both.metric(metric).tolist(), strict=True)
            )
            for metric in METRICS
        },
    }
    return found


def _tokens(
    pair: Pair, place: Place, span: Span, metric: Metric, job: Job, share: tuple[float, float]
) -> Grids:
    """Patch each layer at each token of a window."""
    (start, stop), n_layers = span, pair.subject.model.n_layers
    patches = [Patch(SITES[place], layer) for layer in range(n_layers)]
    grids = _unpatched(pair, (n_layers, stop - start))
    for done, (position, scored) in enumerate(pair.by_position(patches, start, stop), 1):
        values = _put(grids, (slice(None), position - start), scored)
        job.report.partial(
            f"patch.{place}",
            {"position": position, "values": values[metric], "metric": metric},
        )
        part = share[0] + (share[1] - share[0]) * done / (stop - start)
        job.report.progress(part, f"{done} of {stop - start} tokens patched ({place})")
    return grids


def _heads(
    pair: Pair, place: Place, span: Span, metric: Metric, job: Job, share: tuple[float, float]
) -> Grids:
    """Patch each head at all tokens that differ."""
    model = pair.subject.model
    for number, one in enumerate(pair.subject.options.interventions):
        if one.site == "attn":  # what a patched head adds to its output would not be all there is
            raise UserError(
                f"With {one.words}, its heads cannot be patched one by one for a map. Intervene on "
                f"its heads, or patch single heads.",
                field=f"options.interventions.{number}.site",
            )
    grids = _unpatched(pair, (model.n_layers, model.n_heads))
    for done, layer in enumerate(reversed(range(model.n_layers)), 1):
        patches = [Patch(SITES[place], layer, head=head) for head in range(model.n_heads)]
        values = _put(grids, (layer, slice(None)), pair.measure(patches, pair.first, whole=True))
        job.report.partial(
            f"patch.{place}", {"layer": layer, "values": values[metric], "metric": metric}
        )
        part = share[0] + (share[1] - share[0]) * done / model.n_layers
        job.report.progress(part, f"{done} of {model.n_layers} layers' heads patched")
    return grids


def _unpatched(pair: Pair, shape: tuple[int, int]) -> Grids:
    """Maps in which nothing is patched yet, as before the first token that differs."""
    return {metric: np.full(shape, float(pair.unpatched.metric(metric))) for metric in METRICS}


def _put(grids: Grids, place: tuple[Any, Any], scored: Scored) -> dict[str, list[float]]:
    values = {}
    for metric, grid in grids.items():
        grid[place] = scored.metric(metric).numpy()  # type: ignore[arg-type]
        values[metric] = grid[place].tolist()
    return values


def _arrays(pair: Pair, place: Place, grids: Grids, span: Span) -> dict[str, Array]:
    model = pair.subject.model
    layer = Axis(name="layer", labels=tuple(map(str, range(model.n_layers))))
    across = (
        Axis(name="head", labels=tuple(map(str, range(model.n_heads))))
        if place == "head"
        else Axis(name="token", labels=tuple(map(str, range(*span))))
    )
    found = {}
    for metric, grid in grids.items():
        title = f"{UNITS[metric].capitalize()} with {_WORDS[place]} patched"
        axes = (layer, across)
        found[f"patch.{place}.{metric}"] = Array(
            grid, axes, UNITS[metric], title, signed=metric == "logit_diff"
        )
        shares = _shares(pair, metric, grid)
        if shares is not None:
            found[f"patch.{place}.{metric}.share"] = Array(
                shares, axes, "share of the prompts' difference", title, signed=True
            )
    return found


def _shares(pair: Pair, metric: str, grid: np.ndarray) -> np.ndarray | None:
    """Normalize by the prompts' difference; None where that is no more than rounding."""
    clean, corrupted = pair.both.metric(metric).tolist()  # type: ignore[arg-type]
    before, source = (corrupted, clean) if pair.into else (clean, corrupted)
    size = float(pair.base.logits.abs().max()) if metric != "probability" else max(clean, corrupted)
    if abs(source - before) <= rounding_at(size, pair.subject.model.dtype):
        return None
    return np.asarray((grid - before) / (source - before))


def _caption(pair: Pair, options: Options, arrays: dict[str, Array]) -> str:
    place = options.sites[0]
    array = arrays.get(f"patch.{place}.{options.metric}.share")
    if array is None:
        return (
            f"Both prompts have the same {UNITS[options.metric]}, so no share of a difference can "
            f"be given."
        )
    layer, across = np.unravel_index(np.abs(array.values).argmax(), array.values.shape)
    prompt = pair.subject.prompts[0]
    where = (
        f"head {across}"
        if place == "head"
        else repr(prompt.tokens[int((array.axes[1].labels or ())[across])])
    )
    return (
        f"The largest share of the {UNITS[options.metric]}, {array.values[layer, across]:+.0%}, "
        f"comes over by {_WORDS[place]}: layer {layer} at {where}."
    )

"""Edge attribution with slopes averaged while one component's output goes from corrupted to clean.

1. For the input, every attention and every MLP in turn, its output in the corrupted run is moved on
   the straight line to its clean value; what follows runs freely.
2. The slopes of all later readers are averaged over the points; what comes before the component is
   not run again, and all points run together.
3. An edge's score is the sender's change times the averaged slope, summed over positions.

Paper: Hanna et al. 2024, Have Faith in Faithfulness (the authors' code names this variant clean to
corrupted, or activations).

Departures: from corrupted to clean; runs restart at the component's layer; points lie in the middle
of their intervals. The heads of one layer move together.

Limits: two runs per layer and point; exact for a component's whole effect when what follows is
integrated finely enough, which a few points are not always.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.models.intercept import Replacement, seeing_input, seeing_output
from worker.core.models.model import Model
from worker.core.models.sites import Site, module_at
from worker.core.patching.edge_outcome import EdgeOptions, localize_edges
from worker.core.patching.edges import Edges
from worker.core.patching.interpolate import Points, interpolate

TITLE = "Edge attribution patching, integrated over activations (EAP-IG)"
PAPER = "https://arxiv.org/abs/2403.17806"


class Options(EdgeOptions):
    """Five points, as the authors advise."""

    steps: int = Field(5, ge=1, le=100, description="Points on each line.")
    points: Points = Field(
        "middle", description="Where the points lie in their intervals; left is the authors' code."
    )


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Score the edges of each fact; see the module's docstring."""

    def score(edges: Edges) -> np.ndarray:
        resid = edges.bench.base.resid
        ends = (resid[0][edges.corrupted], resid[0][edges.clean])
        total = edges.score(torch.cat(_line(options, *ends)), only="input")
        for layer in range(model.n_layers):
            start = resid[layer][edges.corrupted].repeat(options.steps, 1, 1)
            for site in ("attn", "mlp"):
                held = {_module(model, site, layer): _move(edges, options, site, layer)}
                total = total + edges.score(start, layer, held, only=f"blocks.{layer}.{site}")
        return total

    return localize_edges(model, facts, options, job, "eap_ig_activations", score)


def _module(model: Model, site: str, layer: int) -> torch.nn.Module:
    return module_at(model, "z" if site == "attn" else "mlp_write", layer)


def _move(edges: Edges, options: Options, site: str, layer: int) -> Replacement:
    """Put a component's output on the line: the heads' for an attention."""
    kept: Site = "z" if site == "attn" else "mlp_write"
    values = edges.bench.base.sites[kept][layer]
    line = torch.cat(_line(options, values[edges.corrupted], values[edges.clean]))
    replace = seeing_input if site == "attn" else seeing_output
    return replace(lambda activation: line.reshape(activation.shape))


def _line(options: Options, corrupted: Tensor, clean: Tensor) -> list[Tensor]:
    return interpolate(corrupted, clean, options.steps, options.points)

"""Scores every edge between components from one gradient: edge attribution patching.

1. Clean and corrupted prompts are run; what every head and MLP adds to the residual stream is kept.
2. One backward pass gives the metric's slope at every reader's own branch: each query, key and
   value head, each MLP, the logits.
3. An edge's score is the sender's change (clean − corrupted) times the reader's slope, summed over
   positions. Components are scored by the edges that leave them.

Paper: Syed et al. 2023, Attribution Patching Outperforms Automated Circuit Discovery.

Departures: the sign is such that positive speaks for the answer; the run on which slopes are taken
is an option. Under grouped-query attention keys and values are nodes of their group.

Limits: a first-order estimate, blind where the slope is flat; EAP-IG averages over a path instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.patching.edge_outcome import EdgeOptions, localize_edges

TITLE = "Edge attribution patching (EAP)"
PAPER = "https://arxiv.org/abs/2310.10348"


class Options(EdgeOptions):
    """Slopes on the clean run, as in the authors' code."""

    direction: Literal["clean", "corrupted"] = Field(
        "clean", description="The run on which slopes are taken."
    )


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Score the edges of each fact; see the module's docstring."""
    on_clean = options.direction == "clean"
    return localize_edges(
        model,
        facts,
        options,
        job,
        "eap",
        lambda edges: edges.score(
            edges.bench.base.resid[0][edges.clean if on_clean else edges.corrupted]
        ),
    )

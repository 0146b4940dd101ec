"""Edge attribution with slopes averaged on the way from the corrupted to the clean input.

1. As in EAP, with the slope of every reader averaged over several points on the straight line from
   the corrupted embeddings to the clean ones. All points of a batch run together.
2. An edge's score is the sender's change times the averaged slope, summed over positions.

Paper: Hanna et al. 2024, Have Faith in Faithfulness.

Departures: points lie in the middle of their intervals, which integrates more exactly than the
authors' code, whose points begin at the corrupted input; `points` gives theirs.

Limits: the average is taken along one line, in the input; a component's own saturation between its
two outputs is seen only as far as that line passes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from pydantic import Field

from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.patching.edge_outcome import EdgeOptions, localize_edges
from worker.core.patching.edges import Edges
from worker.core.patching.interpolate import Points, interpolate

TITLE = "Edge attribution patching, integrated over inputs (EAP-IG)"
PAPER = "https://arxiv.org/abs/2403.17806"


class Options(EdgeOptions):
    """Five points, as the authors advise."""

    steps: int = Field(5, ge=1, le=100, description="Points on the line.")
    points: Points = Field(
        "middle", description="Where the points lie in their intervals; left is the authors' code."
    )


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Score the edges of each fact; see the module's docstring."""

    def score(edges: Edges) -> np.ndarray:
        resid = edges.bench.base.resid[0]
        clean, corrupted = resid[edges.clean], resid[edges.corrupted]
        return edges.score(torch.cat(interpolate(corrupted, clean, options.steps, options.points)))

    return localize_edges(model, facts, options, job, "eap_ig", score)

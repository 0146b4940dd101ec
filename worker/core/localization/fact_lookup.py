"""Finds the layers in which facts are looked up, by probing or by the paths to the heads that read.

Probing (facts that share a few answers, like athletes' sports):
1. The model is asked for up to 500 facts of the set. Where its answers, among the set's, are right
   no more often than for shuffled answers, it knows none of them, and no rise is found.
2. The residual stream at the last token of the subject is taken after every layer, in the full
   prompt and in the bare name. Per layer a linear probe for the answer is fitted and judged on
   subjects that it never saw; the same with shuffled answers, many times, is the control.
3. Where the accuracy in the full prompt rises over the layers more than shuffled answers do, the
   layers of the rise are the lookup layers, at most three eighths of the model's; their MLPs are
   suggested. The rule is stated in `_rise.py`. Else no rise is found, and nothing is suggested.
4. Bootstrap over facts gives intervals of the rise's start, end and levels; other draws of the
   facts, with probes of their own, tell how often the choice comes out the same.

Path patching (facts of many answers, like CounterFact):
1. Every head's clean output is patched along the paths to the final residual that avoid other
   attentions (later MLPs count as direct). The ten heads with the largest effects extract the
   answer; the earliest of their layers is l*.
2. Every MLP's clean output is patched directly into the input of layer l*; the rest runs freely.
3. MLPs whose effect is larger than 2 % of the difference between clean and corrupted metric are
   suggested.

Paper: Guo et al. 2024, Mechanistic Unlearning; the stages are those of Nanda et al. 2023, Fact
Finding.

Departures: the paper chooses the probe's layers by eye, here a rule does. Its probe reads the last
token of the prompt, here it reads the subject's last token, where the lookup happens, so that it is
not delayed by extraction, and is fitted by least squares. Its code subtracts the last layer's
effect from every MLP's; here effects of layers from l* on are zero by construction, so there is
nothing to subtract.

Limits: a probe tells where an answer can be read, not that the model reads it there. With few facts
the curve is coarse: the confidence says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from worker.contract import base
from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.localization._lookup_paths import find_by_paths
from worker.core.localization._lookup_probe import Probing, find_by_probe
from worker.core.models.model import Model
from worker.core.patching.comparison import KEEP_RAISED
from worker.core.patching.corruption import DESCRIPTIONS, Corruption
from worker.core.patching.shared_answers import shared_answers

TITLE = "Fact lookup (the paper's)"
SUGGESTS = True
PAPER = "https://arxiv.org/abs/2410.12949"


class Options(base.Options):
    """Defaults are the paper's, where it has any."""

    by: Literal["auto", "probe", "path_patching"] = Field(
        "auto",
        description="How layers are found. auto: by probing where the set's facts share few "
        "answers (at least ten facts each), else by path patching.",
    )
    probe_facts: int = Field(
        500, ge=20, le=2_000, description="Facts of the set that are probed (paper: 500)."
    )
    folds: int = Field(5, ge=2, le=20, description="Parts in which subjects are held out in turn.")
    bootstrap: int = Field(
        200, ge=10, le=10_000, description="Bootstrap draws from which intervals come."
    )
    permutations: int = Field(
        100,
        ge=20,
        le=10_000,
        description="For probing: shuffles of the answers that a rise is tested against.",
    )
    draws: int = Field(
        10,
        ge=2,
        le=1_000,
        description="For probing: other draws of four fifths of the facts on which the layers are "
        "chosen again.",
    )
    max_share: float = Field(
        0.375,
        gt=0,
        le=1,
        description="For probing: share of the model's layers chosen at most; of a longer climb, "
        "the run of layers that gains most.",
    )
    corruption: Corruption = Field(
        "random_tokens", description="For path patching. " + DESCRIPTIONS
    )
    top_heads: int = Field(10, ge=1, le=1000, description="Heads that count as extraction heads.")
    threshold: float = Field(
        0.02, gt=0, lt=1, description="Share of the metric's difference that an MLP must carry."
    )
    min_probability: float = Field(
        0.1, ge=0, lt=1, description="Facts to whose answer the model gives less are left out."
    )
    keep_raised: bool = Field(False, description="For path patching. " + KEEP_RAISED)


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Find the lookup layers; see the module's docstring."""
    pool = job.pool or tuple(facts)
    by = options.by
    if by == "auto":
        by = "probe" if shared_answers(facts, pool) else "path_patching"
    found = (
        find_by_probe(
            model,
            facts,
            pool,
            job,
            Probing(
                n_facts=options.probe_facts,
                folds=options.folds,
                bootstrap=options.bootstrap,
                permutations=options.permutations,
                draws=options.draws,
                max_share=options.max_share,
                min_probability=options.min_probability,
            ),
        )
        if by == "probe"
        else find_by_paths(
            model,
            facts,
            job,
            corruption=options.corruption,
            top_heads=options.top_heads,
            threshold=options.threshold,
            min_probability=options.min_probability,
            keep_raised=options.keep_raised,
            bootstrap=options.bootstrap,
        )
    )
    found.summary["lookup.by"] = by
    return found

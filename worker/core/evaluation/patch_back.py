"""Puts the base's hidden states back into the edited model, by layer, to see where a fact is gone.

1. Run the base on the forget facts' prompts and keep the residual at every depth, all positions.
2. Run the edited model from each depth on with the base's residual put in there.
3. The target's probability by depth: where it is back, what lies above that depth still says the
   fact; the depth from which it is back is what the edit reached. And the other way round: edited
   states in the base.

A depth is asked of facts that the base says and the edited model no longer does: those with at
least 0.1 before, and less than the stated share of it after.

Source: the depth at which knowledge is gone is asked after Hong et al. 2024 (arXiv 2406.11614);
patching after Meng et al. 2022 (2202.05262). Limits: all positions are put back at once, so this
localizes by depth, not by token; of a target of several tokens the first is asked. Needs an edit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field
from torch import Tensor

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.result import Axis, Evaluation
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.per_fact import Rows, per_fact
from worker.core.asking.states import all_states, depths, logits_from
from worker.core.asking.statistics import compare, summarize
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact, first_tokens
from worker.core.models.tokens import Batch, pad

TITLE = "Patch back"
PAPER = "Hong et al. 2024, Intrinsic Evaluation of Unlearning, arXiv 2406.11614"
CHECKS_FIRST = True
SAID = 0.1
"""Probability in the base from which a fact is one that it says."""


class Options(BaseOptions):
    """Options of patching back."""

    model_config = ConfigDict(json_schema_extra={"own_runs": True})

    returned: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of the base's probability from which a fact counts as returned.",
    )


@dataclass(frozen=True)
class Seen:
    """What one model does with the prompts: its states, and the targets' probabilities."""

    states: list[Tensor]
    plain: Float[np.ndarray, " fact"]


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Patch base states into the edited model and edited states into the base."""
    if not models.deltas:
        raise UserError(
            "Patching back compares an edited model with its base; this model has no edit. Choose "
            "an edited model.",
            field="model.edits",
        )
    facts, base = selection.forget, models.base
    batch = pad(base, [encode_fact(base, fact) for fact in facts])
    tokens = torch.tensor(first_tokens(base, facts))

    def see(model: Model) -> Seen:
        return Seen(all_states(model, batch), _plain(model, batch, tokens))

    def patch(model: Model, before: Seen) -> tuple[Seen, Float[np.ndarray, "fact depth"]]:
        job.report.progress(0.3, "Patching the base's states into the edited model")
        return see(model), by_depth(model, batch, before.states, tokens)

    before, after = models.measure_against(see, patch, of=("patch back", facts))
    assert after is not None
    own, into_edited = after[0]
    job.report.progress(0.7, "Patching edited states into the base")
    into_base = by_depth(base, batch, own.states, tokens)
    return _findings(facts, depths(base), (before, own), (into_edited, into_base), options, job)


def by_depth(
    model: Model, batch: Batch, states: Sequence[Tensor], tokens: Tensor
) -> Float[np.ndarray, "fact depth"]:
    """Give the token's probability with each depth's states put in, all positions."""
    rows = torch.arange(len(tokens))
    columns = [
        logits_from(model, batch, hidden, depth).softmax(-1).cpu()[rows, tokens].numpy()
        for depth, hidden in enumerate(states)
    ]
    return np.stack(columns, 1)


@torch.no_grad()
def _plain(model: Model, batch: Batch, tokens: Tensor) -> Float[np.ndarray, " fact"]:
    logits = model.logits(batch.ids, batch.mask, batch.position_ids, keep=1)[:, -1]
    return logits.softmax(-1).cpu()[torch.arange(len(tokens)), tokens].double().numpy()


def _findings(
    facts: tuple[Fact, ...],
    names: tuple[str, ...],
    seen: tuple[Seen, Seen],
    patched: tuple[Float[np.ndarray, "fact depth"], Float[np.ndarray, "fact depth"]],
    options: Options,
    job: Job,
) -> Findings:
    plain = {"before": seen[0].plain, "after": seen[1].plain}
    depth = _depths(patched[0], plain["before"], plain["after"], options.returned)
    aggregates = [
        compare(
            "patch_back.forget.target_probability", "Target's first token, nothing put back",
            "lower", plain["before"], plain["after"], seed=job.seed,
        )
    ]  # fmt: skip
    if not np.isnan(depth).all():
        aggregates.append(
            compare(
                "patch_back.depth", "Depth from which the base's states bring the fact back (0: "
                "embeddings)", "none", None, depth, seed=job.seed,
            )
        )  # fmt: skip
    caption = _caption(depth, names)
    axes = (Axis(name="fact", labels=tuple(f.id for f in facts)), Axis(name="layer", labels=names))
    titles = ("Target with the base's states put back", "Target with edited states in the base")
    rows = Rows(
        facts,
        "forget",
        "statement",
        {"target probability": plain, "depth of return": {"after": depth}},  # type: ignore[dict-item]
    )
    return Findings(
        arrays={
            f"patch_back.{name}": Array(values, axes, "probability", title)
            for name, values, title in zip(
                ("base_into_edited", "edited_into_base"), patched, titles, strict=True
            )
        },
        summary=dict(summarize(aggregates)),
        caption=caption,
        evaluation=Evaluation(
            name="patch_back",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=per_fact("Every fact, and from which depth it is back", [rows]),
        ),
    )


def _depths(
    patched: Float[np.ndarray, "fact depth"],
    before: Float[np.ndarray, " fact"],
    after: Float[np.ndarray, " fact"],
    returned: float,
) -> Float[np.ndarray, " fact"]:
    """Find the first depth from which a fact is back at every deeper one too.

    NaN for a fact that the base does not say or the edited model still does; one past the last
    depth for one that never returns.
    """
    back = patched >= returned * before[:, None]
    stays = np.flip(np.logical_and.accumulate(np.flip(back, 1), 1), 1)
    depth = np.where(stays.any(1), stays.argmax(1), patched.shape[1]).astype(float)
    return np.where((before >= SAID) & (after < returned * before), depth, np.nan)


def _caption(depth: Float[np.ndarray, " fact"], names: tuple[str, ...]) -> str:
    gone = depth[~np.isnan(depth)]
    if not len(gone):
        return (
            f"None of the {len(depth)} facts was said by the base and is no longer said, so there "
            f"is nothing to bring back."
        )
    first = f"{len(gone)} of {len(depth)} facts are no longer said."
    median = int(np.median(gone))
    if median >= len(names):
        return (
            f"{first} The base's states bring most of them back at no depth: the edit acts behind "
            f"the last block."
        )
    where = "at the embeddings" if median == 0 else f"after block {median - 1}"
    return (
        f"{first} With the base's states put back {where}, half of them are said again: the edit "
        f"acts at or below that depth, and what lies above still says the fact."
    )

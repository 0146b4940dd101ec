"""Puts the base's hidden states back into the edited model, by layer, to see where a fact is gone.

1. Run the base on the forget facts' prompts and keep the residual at every depth, all positions.
2. Run the edited model from each depth on with the base's residual put in there.
3. The target's probability by depth: where it is back, what lies above that depth still says the
   fact; the depth from which it is back is what the edit reached. And the other way round: edited
   states in the base.

Source: the depth at which knowledge is gone is asked after Hong et al. 2024 (arXiv 2406.11614);
patching after Meng et al. 2022 (2202.05262). Limits: all positions are put back at once, so this
localizes by depth, not by token. Needs an edit.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact, Selection
from worker.contract.result import Axis, Evaluation
from worker.core.evaluation._latent import all_states, depths, logits_from
from worker.core.evaluation._models import BeforeAfter, State
from worker.core.evaluation._statistics import compare, summarize
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.models.tokens import Batch, answer_ids, encode_fact, pad

TITLE = "Patch back"
PAPER = "Hong et al. 2024, Intrinsic Evaluation of Unlearning, arXiv 2406.11614"


class Options(BaseOptions):
    """Options of patching back."""

    returned: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of the base's probability from which a fact counts as returned.",
    )


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Patch base states into the edited model and edited states into the base."""
    if not models.deltas:
        raise UserError(
            "Patching back compares an edited model with its base; this model has no edit. Choose "
            "an edited model.",
            field="model.edits",
        )
    facts = selection.forget
    base = models.base
    batch = pad(base, [encode_fact(base, fact) for fact in facts])
    tokens = torch.tensor([answer_ids(base, f.text, f.target)[0] for f in facts])
    kept: dict[State, list[Tensor]] = models.measure(lambda m, s: all_states(m, batch))
    plain = models.measure(lambda m, s: _plain(m, batch, tokens))

    def patch(model: Model, state: State) -> Float[np.ndarray, "fact depth"]:
        job.report.progress(0.5 + 0.5 * (state == "after"), f"Patching into the model {state}")
        other = kept["before" if state == "after" else "after"]
        return by_depth(model, batch, other, tokens)

    patched = models.measure(patch)
    return _findings(facts, depths(base), patched, plain, options.returned, job.seed)


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
    patched: dict[State, Float[np.ndarray, "fact depth"]],
    plain: dict[State, Float[np.ndarray, " fact"]],
    returned: float,
    seed: int,
) -> Findings:
    axes = (Axis(name="fact", labels=tuple(f.id for f in facts)), Axis(name="layer", labels=names))
    back = patched["after"] >= returned * plain["before"][:, None]
    # The first depth from which the fact is back at every deeper one too.
    stays = np.flip(np.logical_and.accumulate(np.flip(back, 1), 1), 1)
    depth = np.where(stays.any(1), stays.argmax(1), len(names)).astype(float)
    aggregates = [
        compare(
            "patch_back.forget.target_probability", "Target's first token, nothing put back",
            "lower", plain["before"], plain["after"], seed=seed,
        ),
        compare(
            "patch_back.depth", "Depth from which the base's states bring the fact back (0: "
            "embeddings)", "none", np.zeros(len(facts)), depth, seed=seed,
        ),
    ]  # fmt: skip
    median = int(np.median(depth))
    where = names[median] if median < len(names) else "no depth"
    caption = (
        f"With the base's states put back at {where}, half of the facts are said again: the edit "
        f"acts below that depth, and what lies above still says the fact."
    )
    return Findings(
        arrays={
            "patch_back.base_into_edited": Array(
                patched["after"], axes, "probability", "Target with the base's states put back"
            ),
            "patch_back.edited_into_base": Array(
                patched["before"], axes, "probability", "Target with edited states in the base"
            ),
        },
        summary=dict(summarize(aggregates)),
        caption=caption,
        evaluation=Evaluation(
            name="patch_back", title=TITLE, caption=caption, aggregates=tuple(aggregates)
        ),
    )

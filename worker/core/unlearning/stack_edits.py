"""Puts finished edits on a model in any order, as one edit: reordered, or without some of them.

1. For every edit named, rebuild the state that it was made on from the deltas under it, and take
   the difference that it made to each tensor.
2. Put the edits on in the given order. An edit on exactly the weights that it was made on is
   written bit for bit; elsewhere its difference is added, in float64.
3. After each edit ask the facts of every edit: the interference matrix says what edit j did to the
   facts of edit i.

The result is an edit of its own, whose checksum is that of the stack: the same edits in the same
order give the same bits. Taking an edit out of the middle is a stack without it. Source: adding
differences of weights is task arithmetic (Ilharco et al. 2023, arXiv 2212.04089). Limits: an edit
is not trained anew for the weights it is put on; look at the matrix before trusting it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.contract.result import Axis, Table
from worker.contract.selection import Selection
from worker.core.asking.scoring import score_answers
from worker.core.editing.edit import edit
from worker.core.editing.parts import Index, slices_of
from worker.core.findings import Array, Findings, Job
from worker.core.models.delta_files import Delta, chain_of, values_in
from worker.core.models.deltas import state_checksum
from worker.core.models.model import Model
from worker.core.models.prompts import pairs

NO_FACTS = "the edit's facts are not known"
TITLE = "Stack of edits"
PAPER = "Ilharco et al. 2023, Editing Models with Task Arithmetic, arXiv 2212.04089"


class Options(BaseOptions):
    """Options of a stack of edits."""

    edits: tuple[str, ...] = Field(
        min_length=1,
        max_length=64,
        description="Ids of finished unlearn runs, in the order in which they are put on.",
    )


def unlearn(
    model: Model, selection: Selection, mask: Mask | None, options: Options, job: Job
) -> Findings:
    """Put the edits on in their order; the mask must hold all that they changed."""
    if model.changed:
        raise UserError(
            "The model has edits already, and a stack begins at its base; expected the base model. "
            "Name those edits in options.edits too.",
            field="model",
        )
    chains = [_chain(model, name, job) for name in options.edits]
    slices = slices_of(model, mask)
    _check_mask(chains, slices, options)
    groups = [job.stacked[name].facts for name in options.edits]

    def change() -> Findings:
        inside = {name for name, _ in slices}
        named = model.hf.named_parameters()
        base = {name: p.detach().clone() for name, p in named if name in inside}
        rows = [_ask(model, groups)]
        exact = []
        touched: set[str] = set()
        for number, chain in enumerate(chains):
            exact.append(_put_on(model, chain, base, touched))
            touched |= chain[-1].values.keys()
            rows.append(_ask(model, groups))
            done = 0.9 * (number + 1) / len(chains)
            job.report.progress(done, f"Edit {number + 1} of {len(chains)}")
        return _findings(options.edits, rows, exact, state_checksum(model, touched))

    return edit(model, slices, job, change)


def _chain(model: Model, name: str, job: Job) -> list[Delta]:
    if name not in job.stacked:
        raise UserError(
            f"The edit {name!r} was not found; expected the id of a finished unlearn run.",
            field="options.edits",
        )
    try:
        return chain_of(model, [Path(path) for path in job.stacked[name].deltas])
    except UserError as error:
        raise UserError(f"The edit {name!r}: {error.message}", field="options.edits") from None


def _check_mask(
    chains: list[list[Delta]], slices: list[tuple[str, Index]], options: Options
) -> None:
    inside = {name for name, _ in slices}
    for name, chain in zip(options.edits, chains, strict=True):
        outside = sorted(set(chain[-1].values) - inside)
        if outside:
            raise UserError(
                f"The edit {name!r} changed {outside[0]!r}, which is not in the mask; expected a "
                f"mask that holds every edit's components.",
                field="mask.components",
            )


def _put_on(
    model: Model, chain: list[Delta], base: Mapping[str, Tensor], touched: set[str]
) -> bool:
    """Put one edit on; say whether it was written on the very weights that it was made on."""
    last, named = chain[-1], dict(model.hf.named_parameters())
    is_exact = state_checksum(model, touched) == last.before_hash
    after = values_in(model, last) if is_exact else last.values
    with torch.no_grad():
        for name, own in after.items():
            parameter = named[name]
            value = own.to(parameter.device)
            if not is_exact:
                before = _before(name, chain, base).to(parameter.device)
                value = parameter.double() + (value.double() - before.double())
            parameter.copy_(value)
    return is_exact


def _before(name: str, chain: list[Delta], base: Mapping[str, Tensor]) -> Tensor:
    """Find a tensor's values under the last edit of a chain."""
    below = [delta.values[name] for delta in chain[:-1] if name in delta.values]
    return below[-1] if below else base[name]


def _ask(model: Model, groups: Sequence[Sequence[Fact]]) -> list[tuple[float, float]]:
    """Measure the mean probabilities of target and edit target on each group's facts."""
    return [
        (_mean(model, facts, [f.target for f in facts]), _mean(model, facts, _edits(facts)))
        for facts in groups
    ]


def _edits(facts: Sequence[Fact]) -> list[str]:
    return [fact.edit_target or fact.target for fact in facts]


def _mean(model: Model, facts: Sequence[Fact], answers: Sequence[str]) -> float:
    if not facts:
        return float("nan")
    scores = score_answers(model, pairs(facts, answers))
    return float(scores.log_prob.exp().mean())


def _findings(
    edits: Sequence[str],
    rows: list[list[tuple[float, float]]],
    exact: list[bool],
    stacked: str,
) -> Findings:
    names = tuple(f"{number + 1}. {name[:8]}" for number, name in enumerate(edits))
    findings = Findings(
        summary={"stack.n_edits": len(edits), "stack.checksum": stacked},
        tables={
            "stack": Table(
                title="The stack",
                columns=("edit", "how it was put on"),
                rows=tuple(
                    (name, "bit for bit" if is_exact else "by its difference")
                    for name, is_exact in zip(names, exact, strict=True)
                ),
            )
        },
        caption=(
            f"{len(edits)} edits were stacked, {sum(exact)} of them bit for bit on the weights "
            f"that they were made on and the others by their difference. The stack's checksum is "
            f"{stacked[:12]}."
        ),
    )
    values = np.diff(np.array(rows), axis=0)
    axes = (Axis(name="edit", labels=names), Axis(name="facts of edit", labels=names))
    for place, what in enumerate(("target", "edit target")):
        findings.arrays[f"interference.{what.replace(' ', '_')}"] = Array(
            values[:, :, place],
            axes,
            "Δ probability",
            f"What each edit did to the {what} of each edit's facts",
            signed=True,
            gaps=NO_FACTS,
        )
    return findings

"""Measures what each edit of a stack did to the facts of every other edit.

1. Put the stack's edits on, one after another; before the first and after each ask the facts of
   every edit for their target and their edit target.
2. Row j, column i of the matrix: how much edit j changed that probability on the facts of edit i.
   The diagonal is what each edit was made for; everything else is interference.
3. Take all edits off and compare the checksum of every parameter with the base's.

Source: the sequential edits of Guo et al. 2024 (arXiv 2410.12949) and of Fang et al. 2025
(AlphaEdit, arXiv 2410.02355), who report earlier edits' facts after later ones. Limits: asks in the
facts' own form alone.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from pydantic import ConfigDict

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.result import Axis, Evaluation, Table
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.rows import compare_columns, statement_probabilities
from worker.core.asking.statistics import summarize
from worker.core.findings import Array, Findings, Job
from worker.core.models.delta_files import chain_of
from worker.core.models.deltas import checksum, edited, state_checksum
from worker.core.models.model import Model

TITLE = "Interference of edits"
PAPER = "Fang et al. 2025, AlphaEdit, arXiv 2410.02355"

NO_FACTS = "the edit's facts are not known"


class Options(BaseOptions):
    """Options of the interference matrix."""

    model_config = ConfigDict(json_schema_extra={"own_runs": True})


Asked = list[tuple[Float[np.ndarray, " fact"], Float[np.ndarray, " fact"]]]
"""For each edit's facts: probabilities of target and edit target."""


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Ask the facts of every edit after each edit of the stack."""
    groups, model = job.edited, models.base
    if not models.deltas or len(groups) != len(models.deltas):
        raise UserError(
            f"The model has {len(models.deltas)} edits of which the facts of {len(groups)} are "
            f"known; expected a stack of at least one edit. Choose an edited model.",
            field="model.edits",
        )
    base, states = checksum(model), [_ask(model, groups)]
    hashes = [model.weights_hash]
    for n in range(1, len(models.deltas) + 1):
        job.report.progress(n / (len(models.deltas) + 1), f"Edit {n} of {len(models.deltas)}")
        with edited(model, models.deltas[:n]):
            states.append(_ask(model, groups))
            hashes.append(state_checksum(model, model.changed))
    reverted = hashes[0] if checksum(model) == base else checksum(model)
    names = tuple(f"edit {n + 1}" for n in range(len(groups)))
    return _findings(names, states, hashes, reverted, _made_on(models), job.seed)


def _ask(model: Model, groups: Sequence[Sequence[Fact]]) -> Asked:
    asked = []
    for facts in groups:
        targets, edits = statement_probabilities(model, facts)
        asked.append((targets, edits))
    return asked


def _made_on(models: BeforeAfter) -> list[str]:
    return [delta.after_hash for delta in chain_of(models.base, models.deltas)]


def _findings(
    names: tuple[str, ...],
    states: list[Asked],
    hashes: list[str],
    reverted: str,
    expected: list[str],
    seed: int,
) -> Findings:
    mean = np.array([[[float(np.mean(p)) for p in pair] for pair in state] for state in states])
    change = np.diff(mean, axis=0)
    arrays = {}
    axes = (Axis(name="edit", labels=names), Axis(name="facts of edit", labels=names))
    after = Axis(name="after", labels=("the base", *names))
    for place, what in enumerate(("target", "edit target")):
        key = what.replace(" ", "_")
        title = f"What each edit did to the {what} of each edit's facts"
        arrays[f"change.{key}"] = Array(
            change[:, :, place], axes, "Δ probability", title, signed=True, gaps=NO_FACTS
        )
        title = f"The {what} of each edit's facts after each edit"
        arrays[f"level.{key}"] = Array(
            mean[:, :, place], (after, axes[1]), "probability", title, gaps=NO_FACTS
        )
    aggregates = [
        compare_columns(
            f"interference.{name.replace(' ', '_')}.edit_probability",
            f"Facts of {name}: edit target, after its own edit and after the whole stack",
            "higher",
            {"before": states[n + 1][n][1], "after": states[-1][n][1]},
            seed,
        )
        for n, name in enumerate(names)
    ]
    off = [float(change[j, i, 1]) for j in range(len(names)) for i in range(j)]
    worst = min((value for value in off if value == value), default=0.0)
    caption = _caption(len(names), worst, hashes, reverted, expected)
    return Findings(
        arrays=arrays,
        summary=summarize(aggregates)
        | {
            "interference.n_edits": len(names),
            "interference.worst": worst,
            "interference.checksum": hashes[-1],
            "interference.reverted": reverted == hashes[0],
        },
        caption=caption,
        evaluation=Evaluation(
            name="interference",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            tables={"checksums": _checksums(names, hashes, reverted, expected)},
        ),
    )


def _caption(n: int, worst: float, hashes: list[str], reverted: str, expected: list[str]) -> str:
    said = (
        f"The worst that a later edit did to an earlier one's facts was {worst:+.2f} on the "
        f"probability of their edit target. "
        if n > 1
        else "One edit alone has nothing to interfere with. "
    )
    back = "the base's" if reverted == hashes[0] else "NOT the base's"
    same = "those measured when the edits were made" if hashes[1:] == expected else "NOT those"
    return (
        f"{said}Checksums after each edit are {same}; after taking all off, the weights' checksum "
        f"is {back}."
    )


def _checksums(
    names: tuple[str, ...], hashes: list[str], reverted: str, expected: list[str]
) -> Table:
    rows = [("the base", hashes[0], "")]
    rows += [
        (name, found, "as made" if found == wanted else "differs")
        for name, found, wanted in zip(names, hashes[1:], expected, strict=True)
    ]
    rows.append(("reverted", reverted, "as before" if reverted == hashes[0] else "differs"))
    return Table(
        title="Checksums of the stack", columns=("after", "checksum", "check"), rows=tuple(rows)
    )

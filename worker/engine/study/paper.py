"""The paper's own figures for the large models, to be shown beside what a study measured.

Source: Guo et al. 2024, Mechanistic Unlearning (arXiv 2410.12949), athlete edits: means over three
models (Gemma-7B, Gemma-2-9B, Llama-3-8B) and 16 and 64 athletes, aggregated from the authors' raw
result files. They are references and were not measured here. The paper ran one seed.
"""

from dataclasses import dataclass

from worker.contract.result import Estimate
from worker.contract.study import StudyReport

SOURCE = "Guo et al. 2024, arXiv 2410.12949: athlete edits, mean of three models, 16 and 64 facts"
COLUMNS = (
    "forget", "edit", "retain", "choice_forget", "choice_edit", "choice_retain", "relearn_forget",
    "relearn_retain",
)  # fmt: skip
FIGURES: dict[str, tuple[float, ...]] = {
    "fact_lookup": (0.006, 0.989, 0.972, 0.033, 0.862, 0.799, 0.199, 0.663),
    "causal_tracing": (0.100, 0.893, 0.847, 0.423, 0.152, 0.472, 0.469, 0.887),
    "causal_tracing_mlps": (0.040, 0.938, 0.810, 0.373, 0.371, 0.660, 0.631, 0.867),
    "attribution_patching": (0.196, 0.776, 0.731, 0.716, 0.082, 0.712, 0.824, 0.875),
    "attribution_patching_mlps": (0.199, 0.746, 0.659, 0.892, 0.032, 0.884, 0.904, 0.955),
    "random": (0.037, 0.943, 0.868, 0.128, 0.303, 0.369, 0.312, 0.737),
    "random_mlps": (0.052, 0.926, 0.891, 0.200, 0.632, 0.804, 0.264, 0.805),
    "all_mlps": (0.060, 0.914, 0.853, 0.228, 0.246, 0.429, 0.275, 0.674),
    "everything": (0.028, 0.963, 0.924, 0.266, 0.327, 0.466, 0.291, 0.643),
}
CLEAR = 0.05
"""A difference of the paper's, which has no intervals, from which it counts as one."""

AIMED = ("causal_tracing", "attribution_patching")
"""The masks that fact lookup must spread further than."""


def paper_value(mask: str, short: str) -> float | None:
    """The paper's figure for a mask and a column, where it has one."""
    if mask not in FIGURES or short not in COLUMNS:
        return None
    return FIGURES[mask][COLUMNS.index(short)]


@dataclass(frozen=True)
class Agreement:
    """How one column's differences between fact lookup and the other masks compare."""

    title: str
    agrees: tuple[str, ...]
    """Masks for which both find a difference of the same sign."""
    opposes: tuple[str, ...]
    """Masks for which both find a difference, of the other sign."""
    open: tuple[str, ...]
    """Masks for which the paper has a difference and the study's interval holds 0, or is of one
    seed and so is none."""


def agreements(report: StudyReport) -> list[Agreement]:
    """Compare the study's paired differences with the paper's, column by column."""
    found = []
    for m, metric in enumerate(report.metrics):
        own = paper_value("fact_lookup", metric.short)
        if report.reference != "fact_lookup" or own is None:
            continue
        sorted_: dict[str, list[str]] = {"agrees": [], "opposes": [], "open": []}
        for group, row in zip(report.groups, report.differences, strict=True):
            theirs = paper_value(group.mask, metric.short)
            if group.mask == "fact_lookup" or theirs is None or row[m] is None:
                continue
            if abs(own - theirs) >= CLEAR:
                sorted_[_compared(row[m], own - theirs)].append(group.title)
        found.append(Agreement(metric.title, *(tuple(names) for names in sorted_.values())))
    return [one for one in found if one.agrees or one.opposes or one.open]


def _compared(measured: Estimate | None, theirs: float) -> str:
    assert measured is not None
    if measured.n < 2 or measured.low <= 0 <= measured.high:
        return "open"
    return "agrees" if (measured.mean > 0) == (theirs > 0) else "opposes"


def sentences(report: StudyReport) -> list[str]:
    """Say how many of the paper's differences are found, and what came of the aim."""
    columns = agreements(report)
    if not columns:
        return []
    agrees = sum(len(one.agrees) for one in columns)
    opposes = sum(len(one.opposes) for one in columns)
    total = agrees + opposes + sum(len(one.open) for one in columns)
    return [
        f"Of the {total} differences of at least {CLEAR:g} that the paper reports between fact "
        f"lookup and the other masks, {agrees} {'is' if agrees == 1 else 'are'} found here with "
        f"the same sign and an interval without 0, {opposes} with the other sign; the rest are "
        f"not decided.",
        *_aim(report),
    ]


def _aim(report: StudyReport) -> list[str]:
    """Say by how much fact lookup's edit spreads further to multiple choice."""
    shorts = [metric.short for metric in report.metrics]
    if "choice_edit" not in shorts:
        return []
    m, own = shorts.index("choice_edit"), FIGURES["fact_lookup"][COLUMNS.index("choice_edit")]
    said = []
    for group, row in zip(report.groups, report.differences, strict=True):
        found, theirs = row[m], paper_value(group.mask, "choice_edit")
        if group.mask not in AIMED or found is None or theirs is None:
            continue
        said.append(
            f"{_signed(found.mean)}{_bounds(found)} over "
            f"{group.title[:1].lower()}{group.title[1:]} (paper: {_signed(own - theirs)})"
        )
    if not said:
        return []
    return [f"In multiple choice fact lookup gives the edit answer {' and '.join(said)}."]


def _bounds(found: Estimate) -> str:
    """Write an interval; one seed has none."""
    return f" [{_signed(found.low)}, {_signed(found.high)}]" if found.n > 1 else " with one seed"


def _signed(value: float) -> str:
    """Write a number with its sign; a minus is not a hyphen."""
    return f"{value:+.2f}".replace("-", "−")

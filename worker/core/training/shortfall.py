"""What a training did not reach, in words: an edit that is not as it was meant says so itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worker.core.editing.check import Objective
from worker.core.training.auto import Tried
from worker.core.training.judge import GOAL
from worker.core.training.options import Training

KEPT = 0.9
"""Share of the watched retain facts' probability that an edit is to leave."""


def shortfall(
    before: Mapping[str, float],
    after: Mapping[str, float],
    objective: Objective,
    tried: Sequence[Tried[Training]] = (),
) -> str:
    """Say by quick probes what was wanted and not reached, and whether any trial reached it.

    Empty where the edit is as it was meant, or nothing was probed.
    """
    lacks = [
        *_goal(before, after, objective),
        *_kept(before.get("retain_probability"), after.get("retain_probability")),
    ]
    if not lacks:
        return ""
    return " ".join(
        [
            f"This is not as it was meant: {' and '.join(lacks)}.",
            *_of_trials(tried),
            "Fewer facts at a time, another mask or another method may reach it.",
        ]
    )


def _goal(
    before: Mapping[str, float], after: Mapping[str, float], objective: Objective
) -> list[str]:
    if objective == "edit":
        reached = after.get("edit_probability")
        if reached is None or reached >= GOAL:
            return []
        return [f"the edit target has {reached:.2f} on forget facts, where {GOAL:g} was wanted"]
    had, left = before.get("forget_probability"), after.get("forget_probability")
    if not had or left is None or left <= (1 - GOAL) * had:
        return []
    return [
        f"{left / had:.0%} of the target's probability is left on forget facts, where "
        f"{1 - GOAL:.0%} at most were wanted"
    ]


def _kept(had: float | None, left: float | None) -> list[str]:
    if not had or left is None or left >= KEPT * had:
        return []
    return [
        f"{left / had:.0%} of watched retain facts' probability is left, where {KEPT:.0%} were "
        f"wanted"
    ]


def _of_trials(tried: Sequence[Tried[Training]]) -> list[str]:
    if not tried:
        return []
    if any(one.judged is not None and one.judged.fits for one in tried):
        return ["On the facts that stood in for these in the search, its settings reached it."]
    return [f"None of the {len(tried)} settings that the search tried reached it either."]

"""How many child runs each stage of a study has, and to which stage a child belongs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from worker.contract.progress import RunState
from worker.contract.records import RunRecord
from worker.contract.spec import StudySpec
from worker.engine.study.masks import key_of


@dataclass(frozen=True)
class Stage:
    """One stage: its title, its child runs so far, and how many there will be at least."""

    title: str
    expected: int
    children: tuple[RunRecord, ...]

    def count(self, *states: RunState) -> int:
        """How many of its children are in one of these states."""
        return sum(child.state in states for child in self.children)


def stages(spec: StudySpec, children: Sequence[RunRecord]) -> list[Stage]:
    """The four stages with the children that there are; a stage without any work is left out."""
    titles = {
        "localize": "Localizations",
        "search": "Trials of the search",
        "edit": "Edits",
        "evaluate": "Evaluations",
    }
    wanted = _expected(spec)
    sorted_: dict[str, list[RunRecord]] = {name: [] for name in titles}
    for child in children:
        name = _stage_of(child.kind, child.spec, spec)
        if name in sorted_:
            sorted_[name].append(child)
    return [
        # A search whose best trial lies at the end of its grid has more trials than were named.
        Stage(title, max(wanted[name], len(sorted_[name])), tuple(sorted_[name]))
        for name, title in titles.items()
        if wanted[name]
    ]


def _expected(spec: StudySpec) -> dict[str, int]:
    searched = [method for method in spec.methods.values() if method.search]
    searches = spec.score.searches if spec.score and searched else 0
    seeds = len(spec.seeds) + searches
    localizations = {key_of(m.localization) for m in spec.masks.values() if m.localization}
    trials = sum(prod(len(values) for values in method.search.values()) for method in searched)
    cells = len(spec.masks) * len(spec.methods) * len(spec.seeds)
    return {
        "localize": len(localizations) * seeds,
        "search": len(spec.masks) * trials * searches,
        "edit": cells,
        "evaluate": cells,
    }


def _stage_of(kind: str, child: Mapping[str, Any], spec: StudySpec) -> str:
    if kind != "unlearn":
        return kind
    is_trial = spec.score is not None and child.get("seed") in spec.score.seeds
    return "search" if is_trial else "edit"

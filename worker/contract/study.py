"""A study's masks and methods: what is compared, under which budget and which search."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from worker.contract.base import Contract
from worker.contract.mask import ControlKind, MaskRule
from worker.contract.result import Direction, Estimate, Table


class StudyLocalization(Contract):
    """A localization that a study runs once per seed and shares among its masks."""

    method: str
    options: dict[str, Any] = {}
    forget: str | None = None
    """Which facts to localize, as in `FactsSpec.forget`; None takes the study's own."""


class StudyMask(Contract):
    """One group of a study. Exactly one of `components`, `localization` and `control` is given."""

    title: str
    components: tuple[str, ...] | None = None
    localization: StudyLocalization | None = None
    only: Literal["all", "whole", "mlp", "attn", "head"] = "whole"
    """Which kinds of components the localization may choose; the paper's are whole."""
    rule: MaskRule | None = None
    """How a localization chooses; None takes components until the study's budget is reached."""
    suggested: bool = False
    """Take the components that the localization itself suggests; this sets the budget."""
    control: ControlKind | None = None

    @property
    def takes_suggested(self) -> bool:
        """Whether the localization itself chooses, said either way."""
        return self.suggested or (self.rule is not None and self.rule.suggested)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = ("components", "localization", "control")
        given = [n for n in sources if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a study's mask gives {' and '.join(given) or 'nothing'}; expected exactly one of "
                f"{', '.join(sources)}"
            )
        return self


class StudyMethod(Contract):
    """One unlearning method of a study and the options that are searched for each mask alike."""

    title: str
    method: str = "localized_finetuning"
    options: dict[str, Any] = {}
    search: dict[str, tuple[Any, ...]] = {}
    """Option -> the values tried; every combination is one trial on each search's facts. Three or
    more positive numbers are a grid: it is widened until the best trial is not at its end."""


class Score(Contract):
    """How trials are compared: the smallest of these numbers of the edit's own summary.

    Only the trained format is looked at, so that nothing is tuned on what the study tests.
    """

    names: tuple[str, ...] = Field(min_length=1)
    scale: Literal["value", "log_odds"] = Field(
        "value",
        description="log_odds compares probabilities by log(p / (1 − p)), which goes on telling "
        "trials apart where both are near 1.",
    )
    search_seed: int = Field(
        1000, ge=0, description="Draws the search's facts, which no seed's comparison forgets."
    )
    searches: int = Field(
        1,
        ge=1,
        le=100,
        description="Searches, each on facts of its own; the compared seeds take their options in "
        "turn, so that with as many searches as seeds the intervals hold the search's own spread.",
    )

    @property
    def seeds(self) -> tuple[int, ...]:
        """The searches' seeds."""
        return tuple(range(self.search_seed, self.search_seed + self.searches))


class ReportGroup(Contract):
    """One row of a study: a mask under a method."""

    mask: str
    method: str
    title: str
    parameters: float | None
    """Mean over seeds of what the mask lets change."""
    options: dict[str, Any] = {}
    """What the search chose."""
    components: tuple[str, ...] = ()
    """The mask's components, one text per seed."""


class ReportMetric(Contract):
    """One column of a study."""

    name: str
    """As in the evaluations' summaries."""
    short: str
    """`forget`, `edit`, `choice_edit`, …; the name itself where there is no short one."""
    title: str
    better: Direction = "none"


class StudyReport(Contract):
    """A study in one small file: what a page shows of it, without its child runs."""

    title: str = ""
    caption: str = ""
    model: str
    weights_hash: str
    fact_set: str
    forget: str
    seeds: tuple[int, ...]
    device: str
    versions: dict[str, str] = {}
    seconds: float
    reference: str | None = None
    """The mask that the others are compared with."""
    groups: tuple[ReportGroup, ...]
    metrics: tuple[ReportMetric, ...]
    values: tuple[tuple[tuple[float | None, ...], ...], ...]
    """(group, metric, seed)."""
    estimates: tuple[tuple[Estimate | None, ...], ...]
    """(group, metric): mean over seeds with its 95 % bootstrap interval; `n` counts seeds."""
    differences: tuple[tuple[Estimate | None, ...], ...] = ()
    """(group, metric): reference minus this group, paired by seed."""
    base: tuple[float | None, ...] = ()
    """(metric): the model before any edit, where the evaluations measured it."""
    failures: Table | None = None

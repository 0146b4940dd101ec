"""A study's masks and methods: what is compared, under which budget and which search."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from worker.contract.base import Contract
from worker.contract.mask import ControlKind, MaskRule


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
    """Option -> the values tried; every combination is one trial on the search seed."""


class Score(Contract):
    """How trials are compared: the smallest of these numbers of the edit's own summary.

    Only the trained format is looked at, so that nothing is tuned on what the study tests.
    """

    names: tuple[str, ...] = Field(min_length=1)
    search_seed: int = Field(1000, ge=0, description="Its facts are in no seed's comparison.")

"""Masks: which components an edit may change, and where the choice came from."""

from typing import Literal, Self

from pydantic import Field, model_validator

from worker.contract.base import Contract
from worker.contract.components import parse_component


class MaskRule(Contract):
    """How components are chosen from a localization's scores, largest |score| first.

    Exactly one of `top`, `threshold`, `parameters` and `suggested` is given.
    """

    top: int | None = Field(None, ge=1, description="This many components.")
    threshold: float | None = Field(
        None, gt=0, description="Every component whose |score| reaches this (the scores' unit)."
    )
    parameters: int | None = Field(
        None, ge=1, description="Components until this many parameters are reached."
    )
    suggested: bool = Field(
        False, description="The components that the method itself chose, where it has a rule."
    )
    only: Literal["all", "whole", "mlp", "attn", "head"] = Field(
        "all",
        description="Which kinds of components may be chosen; whole: MLPs and whole attentions.",
    )
    signed: bool = Field(False, description="Choose by score instead of |score|.")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [n for n in ("top", "threshold", "parameters") if getattr(self, n) is not None]
        given += ["suggested"] if self.suggested else []
        if self.suggested and (self.only != "all" or self.signed):
            raise ValueError(
                "a mask rule gives suggested with only or signed; expected suggested alone, "
                "because the method has chosen already"
            )
        if len(given) != 1:
            raise ValueError(
                f"a mask rule gives {' and '.join(given) or 'nothing'}; expected exactly one of "
                f"top, threshold, parameters, suggested"
            )
        return self


ControlKind = Literal["random", "random_mlps", "all_mlps", "all"]


class ControlRule(Contract):
    """A control of the same parameter count as the mask it is matched to."""

    kind: ControlKind
    parameters: int | None = Field(None, ge=1)
    """The budget of `random` and `random_mlps`; the others take all they name."""


class MaskSpec(Contract):
    """A mask in a spec: components by name, or a stored mask, or a localization with a rule."""

    components: tuple[str, ...] | None = None
    id: str | None = None
    """A stored mask's id."""
    localization: str | None = None
    """A finished `localize` run's id; needs `rule`."""
    rule: MaskRule | None = None
    control: ControlRule | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = ("components", "id", "localization", "control")
        given = [n for n in sources if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a mask gives {' and '.join(given) or 'nothing'}; expected exactly one of "
                f"{', '.join(sources)}"
            )
        if (self.localization is None) != (self.rule is None):
            raise ValueError("localization and rule belong together; expected both")
        if self.components is not None:
            if not self.components:
                raise ValueError("the mask has no component; expected at least one to change")
            for name in self.components:
                parse_component(name)
        return self


class Mask(Contract):
    """A resolved set of components."""

    components: tuple[str, ...] = Field(min_length=1)
    n_parameters: int | None = None
    source: str = ""
    """In words, for example `top 3 MLPs of causal_tracing, run 12ab`."""

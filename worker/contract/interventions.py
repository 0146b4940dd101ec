"""What is switched on inside a model while it is asked: ablations, patches, added directions."""

from typing import Literal, Self

from pydantic import Field, model_validator

from worker.contract.base import Contract

Kind = Literal["zero", "mean", "resample", "patch", "scale", "direction"]
Place = Literal["resid", "attn", "mlp", "head", "neuron"]
KINDS = (
    "zero, mean: set to zero, or to the mean over the tokens of reference prompts. resample: set "
    "to what a token of them has, drawn by the seed for every position. patch: set to what the "
    "corrupted prompt has at the same token. scale: multiplied by the factor. direction: a "
    "direction is added, factor times as long as the activation."
)
REFERENCE = (
    "Reference prompts are those that are shown; of a run, the first 64 of its fact set's prompts."
)
MOST = 64
"""Interventions that are on at one time."""


class Intervention(Contract):
    """One activation that is changed: a site of a layer, at one token or at all."""

    kind: Kind = Field(description=f"What is done. {KINDS} {REFERENCE}")
    site: Place = Field(
        description="resid: the residual stream after a block. attn, mlp: a component's output. "
        "head: a head's output. neuron: an MLP's neuron."
    )
    layer: int = Field(ge=0, description="The block, from 0.")
    head: int | None = Field(None, ge=0, description="The head, for the site head.")
    neuron: int | None = Field(None, ge=0, description="The neuron, for the site neuron.")
    token: int | None = Field(
        None, ge=0, description="The prompt's token, from 0; empty: all, also those that follow."
    )
    factor: float = Field(
        1.0,
        ge=-1000,
        le=1000,
        description="scale: what is multiplied with. direction: the added vector's length over the "
        "activation's own.",
    )
    toward: str = Field(
        "", max_length=200, description="The word whose unembedding is the direction."
    )
    vector: tuple[float, ...] = Field(
        (), max_length=65_536, description="The direction in numbers, in place of a word."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("head", "neuron"):
            if (getattr(self, name) is None) == (self.site == name):
                raise ValueError(
                    f"a {name} belongs to the site {name}, and to no other; expected "
                    f"{'its number' if self.site == name else f'no {name}'} for the site "
                    f"{self.site}"
                )
        given = bool(self.toward) + bool(self.vector)
        if given != (self.kind == "direction"):
            raise ValueError(
                "a direction is one word (toward) or one vector, and belongs to the kind "
                f"direction alone; {self.kind} has {given} of them"
            )
        if self.kind == "direction" and self.site in ("head", "neuron"):
            raise ValueError(
                "a direction lies in the residual stream; expected the site resid, attn or mlp"
            )
        return self

    @property
    def name(self) -> str:
        """The place in words, for example `head 3 of layer 5 at token 2`."""
        what = {
            "resid": "the residual stream after layer",
            "attn": "the attention of layer",
            "mlp": "the MLP of layer",
            "head": f"head {self.head} of layer",
            "neuron": f"neuron {self.neuron} of layer",
        }[self.site]
        return f"{what} {self.layer}" + ("" if self.token is None else f" at token {self.token}")

    @property
    def words(self) -> str:
        """What is done, in words."""
        if self.kind == "scale":
            return f"{self.name} times {self.factor:g}"
        if self.kind == "direction":
            what = f"toward {self.toward!r}" if self.toward else "along a vector"
            return f"{self.name} moved {what} by {self.factor:g} of its length"
        return f"{self.name} {_DONE[self.kind]}"


_DONE = {
    "zero": "set to zero",
    "mean": "set to its mean",
    "resample": "resampled",
    "patch": "patched from the corrupted prompt",
}


def under(interventions: tuple[Intervention, ...]) -> str:
    """Say what is on, as a caption's last sentence; nothing where nothing is."""
    if not interventions:
        return ""
    shown = "; ".join(one.words for one in interventions[:3])
    more = len(interventions) - 3
    return f"Under {shown}{f' and {more} more' if more > 0 else ''}."

"""A subject's logits split over what components write to the position that is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.errors import UserError
from worker.core.explore._answers import contexts_of
from worker.core.explore._subject import Subject
from worker.core.models.base_run import BaseRun
from worker.core.models.sites import Site
from worker.core.patching.direct import constants, directions, head_writes, require_sum

SITES: tuple[Site, ...] = ("attn_write", "mlp_write", "z")
DIFFERENCE = "difference"
Part = TypeVar("Part", np.ndarray, Tensor)


@dataclass(frozen=True)
class Read:
    """One answer of a subject: a row of `run` and a direction for each of its tokens."""

    run: BaseRun
    rows: list[int]
    tokens: list[int]
    directions: Float[Tensor, "token d_model"]

    def of(self, written: Float[Tensor, "row d_model"]) -> float:
        """What a component's writes at the last position add to the answer's logit."""
        return float((written[self.rows].float() * self.directions).sum())

    @property
    def logit(self) -> float:
        """The model's own logit, summed over the answer's tokens."""
        return float(self.run.logits[self.rows, self.tokens].double().sum())


def read_answers(subject: Subject, which: int) -> dict[str, Read]:
    """Run one prompt with each answer's beginnings, and find where each answer's tokens point."""
    contexts = contexts_of(subject.answers, which)
    require_parts(subject)
    run = subject.kept(contexts.rows, SITES)
    require_sum(run, "view")
    found = {}
    for name, reads in contexts.reads.items():
        rows, tokens = [row for row, _ in reads], [token for _, token in reads]
        own = torch.tensor(tokens, device=run.logits.device)
        pulled = torch.cat(
            [
                directions(run, own[place].repeat(len(run.logits)))[row][None]
                for place, row in enumerate(rows)
            ]
        )
        found[name] = Read(run, rows, tokens, pulled)
    return found


def require_parts(subject: Subject) -> None:
    """Raise UserError where an intervention writes to the residual stream beside components."""
    for number, one in enumerate(subject.options.interventions):
        if one.site == "resid":
            raise UserError(
                f"With {one.words}, the residual stream is not the sum of what its components "
                f"write, so logits cannot be split over them. Intervene on components, or choose "
                f"another view.",
                field=f"options.interventions.{number}.site",
            )


def split(read: Read) -> dict[str, float]:
    """Give every part of an answer's logit by name; they add up to it, the rest among them."""
    run = read.run
    parts = {"embed": read.of(run.resid[0][:, -1])}
    for layer in range(run.model.n_layers):
        for site in ("attn", "mlp"):
            parts[f"{layer}.{site}"] = read.of(run.sites[f"{site}_write"][layer][:, -1])
    tokens = torch.tensor(read.tokens, device=run.logits.device)
    for name, values in constants(run.model, tokens).items():
        parts[name] = float(values.double().sum())
    parts |= _soft_cap(read, tokens)
    return parts | {"rest": read.logit - sum(parts.values())}


def split_heads(read: Read) -> Float[np.ndarray, "layer head"]:
    """What every head adds directly to an answer's logit, before any soft cap."""
    layers = range(read.run.model.n_layers)
    return np.array([[read.of(w) for w in head_writes(read.run, layer)] for layer in layers])


def combined(parts: Mapping[str, Part]) -> Part:
    """Give the target's part less the distractor's; the target's alone where there is none."""
    if len(parts) == 1:
        return parts["target"]
    difference: Part = parts["target"] - parts["distractor"]
    return difference


def _soft_cap(read: Read, tokens: Tensor) -> dict[str, float]:
    """What a soft cap takes from the logits; nothing where the model has none."""
    cap = getattr(read.run.model.hf.config.get_text_config(), "final_logit_softcapping", None)
    if not cap:
        return {}
    own = read.run.logits[read.rows, tokens].double()
    uncapped = cap * torch.atanh(own / cap)
    return {"soft cap": float((own - uncapped).sum())}

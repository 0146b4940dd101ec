"""Tokens that a write promotes and suppresses: its direct effect on every logit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from worker.core.explore._patterns import Attended
from worker.core.explore._words import token_text
from worker.core.models.base_run import BaseRun
from worker.core.models.components import output_columns
from worker.core.models.model import Model
from worker.core.models.projections import weight_by_input
from worker.core.models.sites import module_at
from worker.core.patching.direct import push_through, unembedding_of


@dataclass(frozen=True)
class Promoted:
    """What a write adds to every logit, before any soft cap."""

    model: Model
    logits: Float[Tensor, " vocab"]

    def tokens(self, k: int, largest: bool = True) -> list[dict[str, Any]]:
        """List the tokens whose logits it raises (or lowers) most."""
        found = self.logits.topk(min(k, len(self.logits)), largest=largest)
        return [
            {"token": token_text(self.model, token), "id": token, "logit": value}
            for token, value in zip(found.indices.tolist(), found.values.tolist(), strict=True)
        ]


def promoted(run: BaseRun, written: Float[Tensor, "one d_model"], position: int) -> Promoted:
    """Read what was written at a position of a run's only row as every logit's change."""
    return each_promoted(run, written, position)[0]


def each_promoted(
    run: BaseRun, written: Float[Tensor, "write d_model"], position: int
) -> list[Promoted]:
    """The same of several writes, together."""
    model = run.model
    if model.layout.ln_final:
        norm = model.hf.get_submodule(model.layout.ln_final)
        at = run.resid[-1][:1, position].float().expand(len(written), -1)
        written = push_through(norm, at, written)
    weight = unembedding_of(model)
    return [Promoted(model, own.float()) for own in written.to(weight.dtype) @ weight.T]


def written_by_head(
    attended: Attended, layer: int, head: int, position: int, source: int | None = None
) -> Promoted:
    """What a head's output at a position promotes, or the part of it from one source token."""
    run = attended.run
    model = run.model
    o = module_at(model, "z", layer)
    columns = output_columns(model, head)
    z = run.sites["z"][layer][:1, position]
    own = z[:, columns]
    if source is not None:
        own = (
            attended.patterns[layer][head, position, source] * attended.values(layer)[head, source]
        )
        own = own[None].to(z)
    written = (own @ weight_by_input(o)[columns]).float()
    if model.layout.ln1_post:
        norm = model.blocks[layer].get_submodule(model.layout.ln1_post)
        written = push_through(norm, o(z).float(), written)
    return promoted(run, written, position)

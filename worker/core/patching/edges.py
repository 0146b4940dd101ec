"""Scores of edges between components: what one adds to the residual stream times how another reads.

Senders: the input (embeddings), every head, every MLP. Readers: every query, key and value head
(under grouped-query attention fewer keys and values), every MLP, the logits. A reader's slope is
the metric's gradient at its own branch of the residual stream, before the norm. An edge's score is
the sender's change (clean − corrupted) times the reader's slope, summed over positions. The scores
of all edges that leave a sender add up to its node score in attribution patching.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.contract.errors import UserError
from worker.core.models.intercept import Replacement
from worker.core.models.model import Model
from worker.core.models.projections import PARTS, n_parts, weight_by_input
from worker.core.models.sites import Site, module_at
from worker.core.models.suffix import Suffix
from worker.core.patching.bench import Bench, mean_by
from worker.core.patching.slopes import Slopes, pull_back

NEEDED: tuple[Site, ...] = ("z", "attn", "attn_write", "mlp", "mlp_write")


def senders(model: Model) -> list[str]:
    """Every sender, in the order of the scores' first axis."""
    names = ["input"]
    for layer in range(model.n_layers):
        names += [f"blocks.{layer}.attn.head.{head}" for head in range(model.n_heads)]
        names += [f"blocks.{layer}.mlp"]
    return names


def readers(model: Model) -> list[str]:
    """Every reader, in the order of the scores' second axis."""
    names = []
    for layer in range(model.n_layers):
        for part in PARTS:
            kind = "head" if n_parts(model, part) == model.n_heads else "kv"
            heads = range(n_parts(model, part))
            names += [f"blocks.{layer}.attn.{kind}.{head}.{part}" for head in heads]
        names += [f"blocks.{layer}.mlp"]
    return [*names, "logits"]


@dataclass
class Edges:
    """A batch of facts whose edges are scored."""

    bench: Bench

    def __post_init__(self) -> None:
        base = self.bench.base
        self.model, self.suffix = base.model, Suffix(base, 0)
        pairs = self.bench.pairs
        self.clean, self.corrupted, self.n = pairs.clean, pairs.corrupted, len(pairs)
        total = base.resid[0] + sum(base.sites["attn_write"]) + sum(base.sites["mlp_write"])
        if not torch.allclose(
            total, base.resid[-1], rtol=1e-2, atol=1e-2 * float(total.abs().max())
        ):
            raise UserError(
                f"In {self.model.id!r} the residual stream is not the sum of what its components "
                f"write, so there are no edges between them. Choose another method.",
                field="method",
            )

    def change(self, values: Float[Tensor, "row pos width"]) -> Float[Tensor, "pair pos width"]:
        """Clean minus corrupted."""
        return values[self.clean] - values[self.corrupted]

    def score(
        self,
        start: Float[Tensor, "copies_pair pos d_model"],
        layer: int = 0,
        held: Mapping[nn.Module, Replacement] | None = None,
        only: str = "",
    ) -> Float[np.ndarray, "fact sender reader"]:
        """Score edges with slopes from a run that starts at `layer` with the residual `start`.

        `start` holds several copies of the pairs (interpolants), whose slopes are averaged. `held`
        replaces outputs in the first block. `only` names the one group of senders to be scored
        (`input`, `blocks.1.attn`, `blocks.1.mlp`); empty means all.
        """
        slopes = Slopes(self.suffix, self.corrupted, self.bench.measure, layer)
        metric = slopes.run(start, held or {})
        # What a held output cuts off has no slope.
        found = torch.autograd.grad(
            metric.sum(), slopes.tensors, allow_unused=True, materialize_grads=True
        )
        by_name = dict(zip(slopes.names, found, strict=True))
        n_senders, columns = len(senders(self.model)), []
        for reader_layer in range(self.model.n_layers + 1):
            n_here = _n_readers(self.model, reader_layer)
            if reader_layer < layer:
                columns.append(torch.zeros(n_senders, n_here, self.n))
                continue
            pulled = slopes.pull(reader_layer, by_name)
            columns.append(self._contract(pulled, reader_layer, only, slopes))
        scores = torch.cat(columns, dim=1).flatten(0, 1)
        facts = mean_by(scores, self.bench.fact_of_pair.cpu(), len(self.bench.items))
        return facts.T.reshape(len(self.bench.items), n_senders, -1)

    def _contract(
        self,
        pulled: Float[Tensor, "reader pair pos d_model"],
        layer: int,
        only: str,
        slopes: Slopes,
    ) -> Float[Tensor, "sender reader pair"]:
        sites, n = self.bench.base.sites, pulled.shape[0]
        empty = pulled.new_zeros(1, n, self.n)
        first = self.change(self.bench.base.resid[0])
        rows = [_meet(first[:, :, None], pulled) if only in ("", "input") else empty]
        for k in range(self.model.n_layers):
            # In one block the attention comes before the MLP, unless they run side by side.
            heads_reach = torch.full((n,), k < layer, device=pulled.device)
            if k == layer and not slopes.parallel:
                heads_reach[-1] = True
            wanted = only in ("", f"blocks.{k}.attn") and bool(heads_reach.any())
            rows.append(
                self._heads(k, pulled, slopes) * heads_reach[None, :, None]
                if wanted
                else empty.repeat(self.model.n_heads, 1, 1)
            )
            mlp = only in ("", f"blocks.{k}.mlp") and k < layer
            rows.append(
                _meet(self.change(sites["mlp_write"][k])[:, :, None], pulled) if mlp else empty
            )
        return torch.cat(rows).cpu()

    def _heads(
        self, layer: int, pulled: Tensor, slopes: Slopes
    ) -> Float[Tensor, "head reader pair"]:
        model, base = self.model, self.bench.base
        if model.layout.ln1_post:
            norm = model.blocks[layer].get_submodule(model.layout.ln1_post)
            pulled = pull_back(norm, slopes.post_inputs[layer], pulled)
        o = module_at(model, "z", layer)
        weight = weight_by_input(o).unflatten(0, (model.n_heads, -1))
        change = self.change(base.sites["z"][layer]).unflatten(-1, (model.n_heads, -1))
        return _meet(torch.einsum("pthe,hed->pthd", change, weight), pulled)


def _n_readers(model: Model, layer: int) -> int:
    return 1 if layer == model.n_layers else sum(n_parts(model, part) for part in PARTS) + 1


def _meet(
    change: Float[Tensor, "pair pos sender d_model"],
    slopes: Float[Tensor, "reader pair pos d_model"],
) -> Float[Tensor, "sender reader pair"]:
    return torch.einsum("ptsd,rptd->srp", change.float(), slopes.float())

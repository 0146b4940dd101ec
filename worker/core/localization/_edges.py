"""Scores of edges between components: what one adds to the residual stream times how another reads.

Senders: the input (embeddings), every head, every MLP. Readers: every query, key and value head
(under grouped-query attention fewer keys and values), every MLP, the logits. A reader's slope is
the metric's gradient at its own branch of the residual stream, before the norm. An edge's score is
the sender's change (clean - corrupted) times the reader's slope, summed over positions. The scores
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
from worker.core.localization._tracing import Bench, mean_by
from worker.core.models.components import is_transposed
from worker.core.models.intercept import Replacement, seeing_input, seeing_output
from worker.core.models.model import Model
from worker.core.models.projections import PARTS, n_parts, output_rows, projection
from worker.core.models.sites import Site, as_batch, both, module_at
from worker.core.models.suffix import Suffix, unembed

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
        slopes = _Slopes(self, layer)
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
            columns.append(self._contract(pulled, reader_layer, only, slopes.parallel))
        scores = torch.cat(columns, dim=1).flatten(0, 1)
        facts = mean_by(scores, self.bench.fact_of_pair.cpu(), len(self.bench.items))
        return facts.T.reshape(len(self.bench.items), n_senders, -1)

    def _contract(
        self,
        pulled: Float[Tensor, "reader pair pos d_model"],
        layer: int,
        only: str,
        parallel: bool,
    ) -> Float[Tensor, "sender reader pair"]:
        sites, rows = self.bench.base.sites, []
        n, last = pulled.shape[0], self.model.n_layers
        first = self.change(self.bench.base.resid[0])
        rows.append(_meet(first[:, :, None], pulled) if only in ("", "input") else None)
        for k in range(last):
            # In one block the attention comes before the MLP, unless they run side by side.
            heads_reach = torch.full((n,), k < layer, device=pulled.device)
            if k == layer and not parallel:
                heads_reach[-1] = True
            wanted = only in ("", f"blocks.{k}.attn") and bool(heads_reach.any())
            rows.append(
                self._heads(k, pulled) * heads_reach[None, :, None]
                if wanted
                else self.model.n_heads
            )
            mlp = only in ("", f"blocks.{k}.mlp") and k < layer
            rows.append(
                _meet(self.change(sites["mlp_write"][k])[:, :, None], pulled) if mlp else None
            )
        empty = pulled.new_zeros(1, n, self.n)
        return torch.cat(
            [row if isinstance(row, Tensor) else empty.repeat(row or 1, 1, 1) for row in rows]
        ).cpu()

    def _heads(self, layer: int, pulled: Tensor) -> Float[Tensor, "head reader pair"]:
        model, base = self.model, self.bench.base
        if model.layout.ln1_post:
            norm = model.blocks[layer].get_submodule(model.layout.ln1_post)
            pulled = _pull(norm, base.sites["attn"][layer][self.corrupted], pulled)
        o = module_at(model, "z", layer)
        weight = (o.weight if is_transposed(o) else o.weight.T).unflatten(0, (model.n_heads, -1))
        change = self.change(base.sites["z"][layer]).unflatten(-1, (model.n_heads, -1))
        return _meet(torch.einsum("pthe,hed->pthd", change, weight), pulled)


class _Slopes:
    """Runs blocks forward while keeping what readers read, and pulls gradients back to there."""

    def __init__(self, edges: Edges, layer: int) -> None:
        self.edges, self.model, self.first = edges, edges.model, layer
        self.names: list[tuple[str, int]] = []
        self.tensors: list[Tensor] = []
        self.norm_inputs: dict[tuple[str, int], Tensor] = {}
        self.parallel = False

    def run(self, start: Tensor, held: Mapping[nn.Module, Replacement]) -> Tensor:
        edges, n_layers = self.edges, self.model.n_layers
        self.copies = len(start) // edges.n
        rows = edges.corrupted.repeat(self.copies)
        with torch.enable_grad():
            hidden = start.detach().requires_grad_()
            for layer in range(self.first, n_layers):
                before = hidden
                replacements = self._watch(layer, hidden.shape[:2])
                if layer == self.first:
                    replacements = both(replacements, held)
                hidden = edges.suffix.run(layer, hidden, rows, replacements)
                read = self.norm_inputs.get(("ln2", layer))
                self.parallel = read is not None and torch.equal(read, before)
            self._keep(("logits", n_layers), hidden)
            pair = torch.arange(edges.n, device=start.device).repeat(self.copies)
            return edges.bench.measure(unembed(edges.bench.base, hidden[:, -1]), pair)

    def pull(
        self, layer: int, slopes: Mapping[tuple[str, int], Tensor]
    ) -> Float[Tensor, "reader pair pos d_model"]:
        """Slopes of one layer's readers at their branch of the residual stream."""
        if layer == self.model.n_layers:
            return self._mean(slopes["logits", layer][None])
        found = []
        for part in PARTS:
            module = projection(self.model, layer, part)
            weight = module.weight.T if is_transposed(module) else module.weight
            slope = slopes[f"{part}", layer]
            rows = output_rows(self.model, part)
            found += [slope[..., own] @ weight[own] for own in rows]
        attention = torch.stack(found)
        ln1, ln2 = self.model.layout.ln1, self.model.layout.ln2
        block = self.model.blocks[layer]
        if ln1:
            at = self.norm_inputs["ln1", layer]
            attention = _pull(block.get_submodule(ln1), at, attention)
        mlp = as_batch(slopes["mlp", layer], tuple(attention.shape[1:3]))[None]
        if ln2:
            mlp = _pull(block.get_submodule(ln2), self.norm_inputs["ln2", layer], mlp)
        return self._mean(torch.cat([attention, mlp]))

    def _mean(self, slopes: Tensor) -> Tensor:
        return slopes.unflatten(1, (self.copies, -1)).mean(1)

    def _watch(self, layer: int, shape: tuple[int, ...]) -> dict[nn.Module, Replacement]:
        layout, block = self.model.layout, self.model.blocks[layer]
        found: dict[nn.Module, Replacement] = {}
        for part in PARTS:
            module = projection(self.model, layer, part)
            own = [p for p in PARTS if projection(self.model, layer, p) is module]
            found[module] = seeing_output(
                lambda output, own=own: self._keep_all(own, layer, output)
            )
        names = {"ln1": layout.ln1, "ln2": layout.ln2}
        for norm in dict.fromkeys(name for name in names.values() if name):
            keys = [key for key, name in names.items() if name == norm]
            found[block.get_submodule(norm)] = seeing_input(
                lambda x, keys=keys: self._keep_norm(keys, layer, x, (shape[0], shape[1]))
            )
        branch = seeing_input(lambda x: self._branch(layer, x))
        module = block.get_submodule(layout.mlp_in)
        found[module] = branch
        return found

    def _keep_all(self, parts: list[str], layer: int, output: Tensor) -> None:
        for part in parts:
            self._keep((part, layer), output)

    def _keep_norm(self, keys: list[str], layer: int, x: Tensor, shape: tuple[int, int]) -> None:
        for key in keys:
            self.norm_inputs[key, layer] = as_batch(x.detach(), shape)

    def _branch(self, layer: int, x: Tensor) -> Tensor:
        # A view of its own, so that the gradient is the MLP's alone where attention reads x too.
        own = x.view_as(x)
        self._keep(("mlp", layer), own)
        return own

    def _keep(self, name: tuple[str, int], tensor: Tensor) -> None:
        self.names.append(name)
        self.tensors.append(tensor)


def _n_readers(model: Model, layer: int) -> int:
    return 1 if layer == model.n_layers else sum(n_parts(model, part) for part in PARTS) + 1


def _pull(norm: nn.Module, at: Tensor, slopes: Tensor) -> Tensor:
    """Pull slopes [reader, ...] back through a norm at its input."""
    with torch.enable_grad():
        x = at.detach().expand(len(slopes), *at.shape).requires_grad_()
        y = norm(x)
    return torch.autograd.grad(y, x, slopes.to(y.dtype))[0]


def _meet(
    change: Float[Tensor, "pair pos sender d_model"],
    slopes: Float[Tensor, "reader pair pos d_model"],
) -> Float[Tensor, "sender reader pair"]:
    return torch.einsum("ptsd,rptd->srp", change.float(), slopes.float())

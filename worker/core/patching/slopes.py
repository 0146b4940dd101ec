"""The metric's slope at every reader's own branch of the residual stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worker.core.models.intercept import Replacement, seeing_input, seeing_output
from worker.core.models.projections import PARTS, output_rows, projection, weight_by_input
from worker.core.models.restart import Measure
from worker.core.models.sites import as_batch, both
from worker.core.models.suffix import Suffix, unembed


class Slopes:
    """Runs blocks forward while keeping what readers read, and pulls gradients back to there."""

    def __init__(
        self, suffix: Suffix, rows: Int[Tensor, " pair"], measure: Measure, layer: int
    ) -> None:
        self.suffix, self.rows, self.measure, self.first = suffix, rows, measure, layer
        self.model = suffix.base.model
        self.names: list[tuple[str, int]] = []
        self.tensors: list[Tensor] = []
        self.norm_inputs: dict[tuple[str, int], Tensor] = {}
        self.post_inputs: dict[int, Tensor] = {}
        """What goes into each attention's post-norm, averaged over the interpolants."""
        self.parallel = False

    def run(self, start: Tensor, held: Mapping[nn.Module, Replacement]) -> Tensor:
        """Run from `start` to the metric, with `held` outputs replaced in the first block."""
        n_layers = self.model.n_layers
        self.copies = len(start) // len(self.rows)
        rows = self.rows.repeat(self.copies)
        with torch.enable_grad():
            hidden = start.detach().requires_grad_()
            for layer in range(self.first, n_layers):
                before = hidden
                replacements = self._watch(layer, hidden.shape[:2])
                if layer == self.first:
                    replacements = both(replacements, held)
                hidden = self.suffix.run(layer, hidden, rows, replacements)
                read = self.norm_inputs.get(("ln2", layer))
                self.parallel = read is not None and torch.equal(read, before)
            self._keep(("logits", n_layers), hidden)
            pair = torch.arange(len(self.rows), device=start.device).repeat(self.copies)
            return self.measure(unembed(self.suffix.base, hidden[:, -1]), pair)

    def pull(
        self, layer: int, slopes: Mapping[tuple[str, int], Tensor]
    ) -> Float[Tensor, "reader pair pos d_model"]:
        """Slopes of one layer's readers at their branch of the residual stream."""
        if layer == self.model.n_layers:
            return self._mean(slopes["logits", layer][None])
        found = []
        for part in PARTS:
            module = projection(self.model, layer, part)
            weight = weight_by_input(module).T
            slope = slopes[f"{part}", layer]
            rows = output_rows(self.model, part)
            found += [slope[..., own] @ weight[own] for own in rows]
        attention = torch.stack(found)
        ln1, ln2 = self.model.layout.ln1, self.model.layout.ln2
        block = self.model.blocks[layer]
        if ln1:
            at = self.norm_inputs["ln1", layer]
            attention = pull_back(block.get_submodule(ln1), at, attention)
        like = attention.shape[1], attention.shape[2]
        mlp = as_batch(slopes["mlp", layer], like)[None]
        if ln2:
            mlp = pull_back(block.get_submodule(ln2), self.norm_inputs["ln2", layer], mlp)
        return self._mean(torch.cat([attention, mlp]))

    def _mean(self, slopes: Tensor) -> Tensor:
        mean: Tensor = slopes.unflatten(1, (self.copies, -1)).mean(1)
        return mean

    def _watch(self, layer: int, shape: tuple[int, ...]) -> dict[nn.Module, Replacement]:
        layout, block = self.model.layout, self.model.blocks[layer]
        found: dict[nn.Module, Replacement] = {}
        for part in PARTS:
            module = projection(self.model, layer, part)
            own = [p for p in PARTS if projection(self.model, layer, p) is module]
            found[module] = seeing_output(partial(self._keep_all, own, layer))
        if layout.ln1_post:
            found[block.get_submodule(layout.ln1_post)] = seeing_input(
                lambda x: self._keep_post(layer, x)
            )
        names = {"ln1": layout.ln1, "ln2": layout.ln2}
        for norm in dict.fromkeys(name for name in names.values() if name):
            keys = [key for key, name in names.items() if name == norm]
            found[block.get_submodule(norm)] = seeing_input(
                partial(self._keep_norm, keys, layer, (shape[0], shape[1]))
            )
        branch = seeing_input(lambda x: self._branch(layer, x))
        module = block.get_submodule(layout.mlp_in)
        found[module] = branch
        return found

    def _keep_all(self, parts: Sequence[str], layer: int, output: Tensor) -> None:
        for part in parts:
            self._keep((part, layer), output)

    def _keep_post(self, layer: int, x: Tensor) -> None:
        self.post_inputs[layer] = x.detach().unflatten(0, (self.copies, -1)).mean(0)

    def _keep_norm(self, keys: list[str], layer: int, shape: tuple[int, int], x: Tensor) -> None:
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


def pull_back(norm: nn.Module, at: Tensor, slopes: Tensor) -> Tensor:
    """Pull slopes [reader, ...] back through a norm at its input."""
    with torch.enable_grad():
        x = at.detach().expand(len(slopes), *at.shape).requires_grad_()
        y = norm(x)
    return torch.autograd.grad(y, x, slopes.to(y.dtype))[0]

"""Runs of the clean prompts in which components are moved towards their corrupted outputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.core.models.gradients import activations
from worker.core.models.intercept import Replacement, replaced_forwards, seeing_input, seeing_output
from worker.core.models.model import Model
from worker.core.models.sites import module_at
from worker.core.patching.metric import measure
from worker.core.patching.pairing import PairBatch


def gate_names(model: Model) -> list[str]:
    """Every head and MLP, in the order of the gates."""
    names = []
    for layer in range(model.n_layers):
        names += [f"blocks.{layer}.attn.head.{head}" for head in range(model.n_heads)]
        names += [f"blocks.{layer}.mlp"]
    return names


class Mixer:
    """Clean and corrupted activations of a batch, and runs that mix them.

    In a mixed run a component computes on what reaches it; its output then moves towards the
    corrupted run's by as much as its gate is closed. So an open component passes on what it makes
    of its inputs, and the effect of several together is seen.
    """

    def __init__(self, model: Model, pairs: PairBatch) -> None:
        self.model, self.pairs = model, pairs
        corrupted = activations(model, pairs.batch, pairs.corrupted, ["z", "mlp_write"])
        clean = activations(model, pairs.batch, pairs.clean, [])
        self.z, self.mlp = corrupted.sites["z"], corrupted.sites["mlp_write"]
        self.clean_logits, self.corrupted_logits = clean.logits, corrupted.logits

    def logits(self, gates: Float[Tensor, " gate"]) -> Float[Tensor, "row vocab"]:
        """Run the clean prompts with closed components corrupted."""
        with replaced_forwards(self._mix(gates)):
            found = activations(
                self.model, self.pairs.batch, self.pairs.clean, [], grad=torch.is_grad_enabled()
            )
        return found.logits

    def divergence(self, gates: Float[Tensor, " gate"]) -> Float[Tensor, " row"]:
        """How far the mixed prediction is from the clean one, in nats."""
        return -measure("kl", self.logits(gates), self.pairs.answers, clean=self.clean_logits)

    def _mix(self, gates: Tensor) -> dict[nn.Module, Replacement]:
        model, replacements = self.model, {}
        per_layer = gates.view(model.n_layers, model.n_heads + 1)
        for layer in range(model.n_layers):
            heads = per_layer[layer, :-1].repeat_interleave(model.d_head)
            replacements[module_at(model, "z", layer)] = seeing_input(
                _towards(self.z[layer], heads)
            )
            replacements[module_at(model, "mlp_write", layer)] = seeing_output(
                _towards(self.mlp[layer], per_layer[layer, -1:])
            )
        return replacements


def _towards(corrupted: Tensor, gate: Tensor) -> Callable[[Tensor], Tensor]:
    def mix(activation: Tensor) -> Tensor:
        kept = gate.to(activation.dtype)
        return kept * activation + (1 - kept) * corrupted.reshape(activation.shape)

    return mix

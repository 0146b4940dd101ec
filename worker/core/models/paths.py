"""Path patching: what reaches a set of receivers directly from a set of senders.

1. From the corrupted run, the senders' outputs are set to their clean values; every other
   attention (and, on request, every other MLP) is held at its corrupted output, so that the change
   travels along the residual stream alone (or through MLPs too). What the receivers make of their
   inputs then is kept.
2. The corrupted run is repeated with the receivers' outputs so; all else runs freely.
With the final residual as receiver step 2 is only the unembedding; with a layer's input it starts
there. Sets of senders share a batch. Attentions are held by answering in their place, so none is
run except receivers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.contract.components import Component
from worker.core.models.base_run import BaseRun, in_form
from worker.core.models.components import output_columns
from worker.core.models.intercept import Forward, Replacement, seeing_input, seeing_output
from worker.core.models.projections import weight_by_input
from worker.core.models.restart import Measure, Pairs
from worker.core.models.sites import Site, as_batch, module_at
from worker.core.models.suffix import Suffix, unembed

NEEDED: tuple[Site, ...] = ("attn", "mlp", "z")
"""What `run_base` must keep for path patching."""


@dataclass(frozen=True)
class Receivers:
    """Where paths end: components, or the input of `resid_pre` (n_layers is the final residual)."""

    components: tuple[Component, ...] = ()
    resid_pre: int | None = None

    @property
    def last_layer(self) -> int:
        """One past the last layer that paths go through."""
        if self.resid_pre is not None:
            return self.resid_pre
        return max(c.layer for c in self.components) + 1


@torch.no_grad()
def patch_paths(
    base: BaseRun,
    senders: Sequence[Sequence[Component]],
    receivers: Receivers,
    pairs: Pairs,
    start: int,
    measure: Measure,
    hold_mlps: bool = False,
) -> Float[Tensor, "senders n"]:
    """Measure each set of senders on each pair, patched at all positions from `start` on."""
    run = _Paths(base, list(senders), receivers, pairs, Suffix(base, start), hold_mlps)
    hidden = run.send()
    if receivers.resid_pre is None:
        hidden = run.receive()
    elif receivers.resid_pre < base.model.n_layers:
        hidden = run.finish(hidden, receivers.resid_pre)
    pair = torch.arange(len(pairs), device=base.embeds.device).repeat(len(senders))
    return measure(unembed(base, hidden[:, -1]), pair).view(len(senders), -1)


@dataclass
class _Paths:
    base: BaseRun
    senders: list[Sequence[Component]]
    receivers: Receivers
    pairs: Pairs
    suffix: Suffix
    hold_mlps: bool

    def __post_init__(self) -> None:
        self.rows = self.pairs.corrupted.repeat(len(self.senders))
        self.received: dict[Component, Tensor] = {}

    def send(self) -> Tensor:
        """Run with senders clean and the rest held; keep what receivers do; return the residual."""
        first = min((c.layer for sent in self.senders for c in sent), default=0)
        last = self.receivers.last_layer
        first = min(first, last)
        hidden = self.base.resid[first][self.rows, self.suffix.start :].clone()
        for layer in range(first, last):
            hidden = self.suffix.run(layer, hidden, self.rows, self._sending(layer))
        return hidden

    def receive(self) -> Tensor:
        """Run freely from the first receiver on, with the receivers' outputs as kept."""
        first = min(c.layer for c in self.receivers.components)
        hidden = self.base.resid[first][self.rows, self.suffix.start :].clone()
        return self.finish(hidden, first)

    def finish(self, hidden: Tensor, layer: int) -> Tensor:
        for k in range(layer, self.base.model.n_layers):
            hidden = self.suffix.run(k, hidden, self.rows, self._receiving(k))
        return hidden

    def _sending(self, layer: int) -> dict[nn.Module, Replacement]:
        model = self.base.model
        replacements: dict[nn.Module, Replacement] = {}
        attn = self._attention_sent(layer)
        kept = [c for c in self.receivers.components if c.layer == layer]
        if any(c.kind == "attn" for c in kept):
            replacements[module_at(model, "z", layer)] = seeing_input(
                lambda z: self._keep_heads(kept, z)
            )
            replacements[module_at(model, "attn", layer)] = _run_but_give(
                in_form(self.base, "attn", attn)
            )
        else:
            answer = in_form(self.base, "attn", attn)
            replacements[module_at(model, "attn", layer)] = _give(answer)
        replacements[module_at(model, "mlp", layer)] = seeing_output(
            lambda output: self._mlp_sent(layer, output)
        )
        return replacements

    def _attention_sent(self, layer: int) -> Tensor:
        attn = self._at("attn", layer, self.rows).clone()
        for i, sent in enumerate(self.senders):
            part = slice(i * len(self.pairs), (i + 1) * len(self.pairs))
            for component in sent:
                if component.layer == layer and component.kind == "attn":
                    attn[part] += self._attention_change(component)
        return attn

    def _attention_change(self, component: Component) -> Tensor:
        layer, pairs = component.layer, self.pairs
        if component.head is None:
            return self._at("attn", layer, pairs.clean) - self._at("attn", layer, pairs.corrupted)
        change = self._at("z", layer, pairs.clean) - self._at("z", layer, pairs.corrupted)
        return through_head(self.base, layer, component.head, change)

    def _mlp_sent(self, layer: int, output: Tensor) -> Tensor | None:
        shape = (len(self.rows), self.base.n_positions - self.suffix.start)
        free = as_batch(output, shape)
        mlp = self._at("mlp", layer, self.rows).clone() if self.hold_mlps else free.clone()
        receiver = Component(layer, "mlp")
        if receiver in self.receivers.components:
            self.received[receiver] = free.clone()
        for i, sent in enumerate(self.senders):
            if receiver in sent:
                part = slice(i * len(self.pairs), (i + 1) * len(self.pairs))
                mlp[part] = self._at("mlp", layer, self.pairs.clean)
        return mlp.reshape(output.shape)

    def _keep_heads(self, kept: Sequence[Component], z: Tensor) -> None:
        for component in kept:
            if component.kind == "attn":
                self.received[component] = z.clone()

    def _receiving(self, layer: int) -> dict[nn.Module, Replacement]:
        model = self.base.model
        here = {c: value for c, value in self.received.items() if c.layer == layer}
        replacements: dict[nn.Module, Replacement] = {}
        if any(c.kind == "attn" for c in here):
            replacements[module_at(model, "z", layer)] = seeing_input(
                lambda z: self._heads_received(here, z)
            )
        if Component(layer, "mlp") in here:
            replacements[module_at(model, "mlp", layer)] = seeing_output(
                lambda output: here[Component(layer, "mlp")].reshape(output.shape)
            )
        return replacements

    def _heads_received(self, here: Mapping[Component, Tensor], z: Tensor) -> Tensor:
        mixed = z.clone()
        for component, value in here.items():
            if component.kind == "attn":
                whole = component.head is None
                head = component.head or 0
                columns = slice(None) if whole else output_columns(self.base.model, head)
                mixed[..., columns] = value[..., columns]
        return mixed

    def _at(self, site: Site, layer: int, rows: Tensor) -> Tensor:
        return self.base.sites[site][layer][rows, self.suffix.start :]


def through_head(base: BaseRun, layer: int, head: int, change: Tensor) -> Tensor:
    """What a change of the heads' outputs `z` at one head adds to the attention's output."""
    columns = output_columns(base.model, head)
    o = module_at(base.model, "z", layer)
    weight = weight_by_input(o)[columns]
    return change[..., columns] @ weight


def _give(output: object) -> Replacement:
    return lambda forward: lambda *args, **kwargs: output


def _run_but_give(output: object) -> Replacement:
    def replace(forward: Forward) -> Forward:
        def run(*args: object, **kwargs: object) -> object:
            forward(*args, **kwargs)
            return output

        return run

    return replace

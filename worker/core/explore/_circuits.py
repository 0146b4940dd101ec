"""Runs in which every edge between components carries a circuit's value or the corrupted one.

Nodes: the input (embeddings), every attention, every MLP, the logits. In the residual stream a node
reads the sum of what earlier nodes wrote, so each edge can be given by itself: over an open edge a
reader gets what its sender makes in this run, over a closed one what the corrupted run had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from worker.core.explore._answers import Metric, Scored, scored
from worker.core.explore._direct import require_parts
from worker.core.explore._pair import Pair
from worker.core.explore._subject import CLEAN, CORRUPTED
from worker.core.models.base_run import in_form
from worker.core.models.intercept import Replacement, replaced_forwards, seeing_output
from worker.core.models.sites import Site, as_batch, module_at
from worker.core.models.suffix import Suffix, unembed
from worker.core.patching.direct import require_sum

SITES: tuple[Site, ...] = ("attn_write", "mlp_write")
INPUT, LOGITS = "input", "logits"


@dataclass
class Circuits:
    """A pair of prompts with what every sender wrote on both, from the first token that differs."""

    pair: Pair
    changes: Float[Tensor, "sender context pos d_model"] = field(init=False)
    """What each sender wrote on the clean prompt less what it wrote on the corrupted one."""

    def __post_init__(self) -> None:
        pair, base = self.pair, self.pair.base
        require_parts(pair.subject)
        require_sum(base, "view")
        self.model, self.n = base.model, len(pair.contexts)
        self.start = min(pair.column(c, pair.first) for c in range(self.n))
        self.suffix = Suffix(base, self.start)
        rows = [[pair.row(which, c) for c in range(self.n)] for which in (CLEAN, CORRUPTED)]
        self.clean, self.corrupted = (torch.tensor(own, device=base.embeds.device) for own in rows)
        self.metric: Metric = "logit" if pair.subject.distractor is None else "logit_diff"
        layers = range(self.model.n_layers)
        self.senders = [INPUT, *(f"{i}.{kind}" for i in layers for kind in ("attn", "mlp"))]
        self.readers = [*self.senders[1:], LOGITS]
        wrote = [base.resid[0]]
        for layer in layers:
            wrote += [base.sites[site][layer] for site in SITES]
        self.changes = torch.stack([self._at(w, self.clean) - self._at(w, self.corrupted)
                                    for w in wrote])  # fmt: skip
        self.parallel = self._is_parallel()

    @property
    def edges(self) -> Bool[Tensor, "sender reader"]:
        """Which senders come before which readers."""
        found = torch.zeros(len(self.senders), len(self.readers), dtype=torch.bool)
        for reader in range(len(self.readers)):
            found[: self._n_before(reader), reader] = True
        return found

    def measure(self, last: Float[Tensor, "circuit context d_model"]) -> Float[Tensor, " circuit"]:
        """The answers' metric at last residuals, in float64."""
        logits = unembed(self.pair.base, last.flatten(0, 1)).unflatten(0, last.shape[:2])
        found: Scored = scored(self.pair.contexts, logits)
        return found.metric(self.metric)

    def run(
        self,
        opened: Bool[Tensor, "circuit sender reader"],
        sent: Tensor | None = None,
        tell: Callable[[float], None] = lambda done: None,
    ) -> Float[Tensor, " circuit"]:
        """Measure circuits whose input is clean; `sent` (sender, reader) adds one clean edge.

        With `sent` the input is the corrupted one, so that what the edge does is all there is.
        `tell` hears before every node which share of them is done.
        """
        n_circuits, gates = len(opened), opened.to(self.changes)
        begun = self.changes[0].expand(n_circuits, *self.changes.shape[1:])
        wrote = torch.zeros(len(self.senders), *begun.shape, device=begun.device, dtype=begun.dtype)
        if sent is None:
            wrote[0] = begun
        for reader in range(len(self.readers)):
            tell(reader / len(self.readers))
            n = self._n_before(reader)
            read = torch.einsum("cs,scktd->cktd", gates[:, :n, reader], wrote[:n])
            if sent is not None:
                is_sent = (sent[:, 1] == reader).to(read)
                read = read + is_sent[:, None, None, None] * self.changes[sent[:, 0]]
            if reader == len(self.readers) - 1:
                return self.measure((self._input(reader) + read)[:, :, -1])
            wrote[reader + 1] = self._write(reader, read)
        raise AssertionError("the last reader is the logits")

    def slopes(
        self,
        begun: Float[Tensor, "point context pos d_model"],
        tell: Callable[[float], None] = lambda done: None,
    ) -> Float[Tensor, "reader context pos d_model"]:
        """The metric's slope at every reader's own input, averaged over inputs on the way.

        `begun` are inputs, counted from the corrupted one; all edges are open.
        """
        with torch.enable_grad():
            total = begun.detach().requires_grad_()
            kept: list[Tensor] = []
            late: Tensor | None = None
            for reader in range(len(self.readers)):
                tell(reader / (2 * len(self.readers)))  # the way back takes as long
                own = total.view_as(total)
                kept.append(own)
                if reader == len(self.readers) - 1:
                    metric = self.measure((self._input(reader) + own)[:, :, -1])
                    break
                written = self._write(reader, own)
                # Side by side, the MLP does not read what its own block's attention wrote.
                if self.parallel and reader % 2 == 0:
                    late = written
                else:
                    total = total + written + (0 if late is None else late)
                    late = None
            found = torch.autograd.grad(metric.sum(), kept)
        return torch.stack([slope.mean(0) for slope in found])

    def _n_before(self, reader: int) -> int:
        """How many senders come before a reader."""
        beside = self.parallel and reader % 2 == 1  # the logits' number is even
        return reader if beside else reader + 1

    def _at(self, activation: Tensor, rows: Tensor) -> Tensor:
        return activation[rows, self.start :]

    def _input(self, reader: int) -> Float[Tensor, "context pos d_model"]:
        """What a reader reads in the corrupted run."""
        base, layer = self.pair.base, reader // 2
        found = self._at(base.resid[layer], self.corrupted)
        if reader % 2 and not self.parallel:
            found = found + self._at(base.sites["attn_write"][layer], self.corrupted)
        return found

    def _write(
        self, reader: int, read: Float[Tensor, "circuit context pos d_model"]
    ) -> Float[Tensor, "circuit context pos d_model"]:
        """What a node writes that reads so much beside the corrupted run, less what it wrote there.

        The rest of its block is answered with zeros, so that its MLP reads what the block is given.
        """
        layer, site = reader // 2, SITES[reader % 2]
        hidden = (self._input(reader) + read).flatten(0, 1)
        rows = self.corrupted.repeat(len(read))
        seen: list[Tensor] = []
        silent = self._silent(layer, reader % 2 == 0, hidden)
        with replaced_forwards(silent):
            watched: dict[nn.Module, Replacement] = {
                module_at(self.model, site, layer): seeing_output(seen.append)
            }
            with replaced_forwards(watched):
                self.suffix.run(layer, hidden, rows)
        written = as_batch(seen[0], (hidden.shape[0], hidden.shape[1])).unflatten(0, read.shape[:2])
        base: Tensor = self._at(self.pair.base.sites[site][layer], self.corrupted)
        change: Tensor = written - base
        return change

    def _silent(self, layer: int, is_attn: bool, hidden: Tensor) -> dict[nn.Module, Replacement]:
        if not is_attn:
            zeros = in_form(self.pair.base, "attn", torch.zeros_like(hidden))
            return {module_at(self.model, "attn", layer): _give(zeros)}
        if not self.model.layout.mlp:  # computed in vain
            return {}
        return {module_at(self.model, "mlp", layer): _give(torch.zeros_like(hidden))}

    def _is_parallel(self) -> bool:
        """Whether attention and MLP of a block read the same: then it needs no attention."""
        self.parallel = True
        nothing = self.changes[:1] * 0
        return float(self._write(1, nothing).abs().max()) <= 1e-4 * float(
            self.pair.base.sites["mlp_write"][0].abs().max()
        )


def _give(output: object) -> Replacement:
    return lambda forward: lambda *args, **kwargs: output


def opened(circuits: Circuits, chosen: Sequence[Sequence[int]]) -> Bool[Tensor, "circuit s r"]:
    """Open each circuit's edges, given by their numbers in the flattened matrix."""
    found = torch.zeros(len(chosen), len(circuits.senders) * len(circuits.readers)).bool()
    for row, edges in enumerate(chosen):
        found[row, list(edges)] = True
    return found.view(len(chosen), len(circuits.senders), len(circuits.readers))

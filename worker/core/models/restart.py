"""Patch activations of corrupted prompts with clean ones, computing only what a patch can reach.

A patch at layer l and position t changes nothing in layers below l nor at positions before t, so:
(a) one pass over [clean; corrupted] keeps residuals, keys and values (`base_run`);
(b) for one position, patches of all layers share a batch that grows as it passes the layers;
(c) only positions from t on are computed, the rest comes from the corrupted rows' cache; patches
    at a few positions after t may go along (`Patch.at`), where short runs cost more to start than
    the positions that they compute in vain;
(d) positions before the first corrupted one have no effect and are left to the caller to skip;
(e) only the last position is unembedded.
Values are those of a full forward per patch, up to rounding: nothing is approximated. A patched
MLP or attention output enters its block in the module's place, so neither is run again there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worker.core.models.base_run import BaseRun, in_form
from worker.core.models.components import output_columns
from worker.core.models.intercept import Forward, Replacement, first_tensor
from worker.core.models.projections import weight_by_input
from worker.core.models.sites import Site, as_batch, module_at
from worker.core.models.suffix import Suffix, unembed

PatchSite = Literal["resid_pre", "resid_post", "mlp", "attn", "head", "nothing"]
Measure = Callable[[Float[Tensor, "k vocab"], Int[Tensor, " k"]], Float[Tensor, " k"]]
"""Turns logits into the metric; the second argument says which pair each row belongs to."""

NEEDED: dict[PatchSite, tuple[Site, ...]] = {
    "resid_pre": (),
    "resid_post": (),
    "mlp": ("attn", "mlp"),
    "attn": ("attn",),
    "head": ("attn", "z"),
    "nothing": (),
}
"""What `run_base` must keep for patches at a site."""


@dataclass(frozen=True)
class Patch:
    """What is restored: a site in the layers from `layer` to before `stop` (a window).

    The site `nothing` restores nothing: its row goes through what the other rows go through.
    """

    site: PatchSite
    layer: int
    stop: int = -1
    head: int | None = None
    at: int = 0
    """The patched position, counted from the one at which the run starts."""

    @property
    def depth(self) -> int:
        """The residual (index into `BaseRun.resid`) that is the first to differ."""
        return self.layer if self.site in ("resid_pre", "nothing") else self.layer + 1

    def covers(self, layer: int) -> bool:
        """Whether the window reaches this layer after the one at which the patch entered."""
        return self.layer < layer < self.stop


@dataclass(frozen=True)
class Pairs:
    """Which clean row each corrupted row is restored from."""

    clean: Int[Tensor, " n"]
    corrupted: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.clean)


@dataclass(frozen=True)
class Ends:
    """What patches made of the last position, before the unembedding.

    `last` has one row per carried patch and pair, patch by patch; patches that cannot reach the end
    are not carried.
    """

    carried: list[int]
    last: Float[Tensor, "row d_model"] | None


@torch.no_grad()
def run_patches(
    base: BaseRun, patches: Sequence[Patch], pairs: Pairs, position: int, whole: bool = False
) -> Ends:
    """Carry every patch on every pair to the last residual.

    What several positions carried there can be unembedded together.
    """
    run = _Run(base, pairs, Suffix(base, position), whole)
    carried: list[int] = []
    hidden: Tensor | None = None
    for depth in range(base.model.n_layers + 1):
        if hidden is not None:
            hidden = run.step(depth - 1, hidden, [patches[i] for i in carried])
        new = [i for i, p in enumerate(patches) if p.depth == depth and run.reaches_end(p)]
        rows = [] if hidden is None else [hidden]
        rows += [run.enter(patches[i]) for i in new]
        carried += new
        hidden = torch.cat(rows) if rows else None
    # A copy, so that the other positions' residuals are not kept with it.
    return Ends(carried, None if hidden is None else hidden[:, -1].clone())


@torch.no_grad()
def measure_rows(
    base: BaseRun,
    last: Float[Tensor, "row d_model"],
    pair: Int[Tensor, " row"],
    measure: Measure,
) -> Float[Tensor, " row"]:
    """Unembed and measure last residuals; `pair` says which pair each row belongs to."""
    values = [
        measure(unembed(base, part), part_of)
        for part, part_of in zip(last.split(_ROWS), pair.split(_ROWS), strict=True)
    ]
    return torch.cat(values)


_ROWS = 256  # rows that are unembedded and measured together


@dataclass(frozen=True)
class _Run:
    base: BaseRun
    pairs: Pairs
    suffix: Suffix
    whole: bool

    def place(self, patch: Patch) -> slice:
        """The patched positions, counted from the suffix's start."""
        return slice(None) if self.whole else slice(patch.at, patch.at + 1)

    def reaches_end(self, patch: Patch) -> bool:
        """Whether a patch can still change the last position."""
        is_last = self.suffix.start + patch.at == self.base.n_positions - 1
        return patch.depth < self.base.model.n_layers or self.whole or is_last

    def step(self, layer: int, hidden: Tensor, patches: Sequence[Patch]) -> Tensor:
        """Run one block for all carried rows, holding windows at their clean values."""
        replacements: dict[nn.Module, Replacement] = {}
        for site in ("mlp", "attn"):
            held = [i for i, p in enumerate(patches) if p.site == site and p.covers(layer)]
            if held:
                module = module_at(self.base.model, site, layer)
                which = [(i, self.place(patches[i])) for i in held]
                replacements[module] = self._hold(site, layer, which, hidden.shape[:2])
        rows = self.pairs.corrupted.repeat(len(patches))
        return self.suffix.run(layer, hidden, rows, replacements)

    def enter(self, patch: Patch) -> Tensor:
        """Make the residual at the patch's depth: corrupted, with the patch in its place."""
        hidden = self._corrupted(patch.depth).clone()
        if patch.site == "nothing":
            return hidden
        if patch.site in ("resid_pre", "resid_post"):
            clean = self.base.resid[patch.depth]
            place = self.place(patch)
            hidden[:, place] = clean[self.pairs.clean, self.suffix.start :][:, place]
        else:
            hidden[:, self.place(patch)] = self._rerun_rest_of_block(patch)
        return hidden

    def _rerun_rest_of_block(self, patch: Patch) -> Tensor:
        """Run a block with the attention's (and MLP's) output given instead of computed."""
        model, layer, place = self.base.model, patch.layer, self.place(patch)
        at_attn = self._clean if patch.site == "attn" else self._corr
        attn = at_attn("attn", layer, place)
        if patch.head is not None:
            attn = attn + self._head_change(layer, patch.head, place)
        given = {module_at(model, "attn", layer): _give(in_form(self.base, "attn", attn))}
        if patch.site == "mlp":
            mlp = self._clean("mlp", layer, place)
            if not model.layout.mlp:  # OPT's works on [batch * pos, d_model]
                mlp = mlp.reshape(-1, mlp.shape[-1])
            given[module_at(model, "mlp", layer)] = _give(mlp)
        hidden = self._corrupted(layer)[:, place]
        return self.suffix.run(layer, hidden, self.pairs.corrupted, given, place)

    def _head_change(self, layer: int, head: int, place: slice) -> Tensor:
        """What a head's clean output adds to the attention's output."""
        change = self._clean("z", layer, place) - self._corr("z", layer, place)
        columns = output_columns(self.base.model, head)
        o = module_at(self.base.model, "z", layer)
        weight = weight_by_input(o)[columns]
        return change[..., columns] @ weight

    def _hold(
        self, site: Site, layer: int, held: list[tuple[int, slice]], shape: Sequence[int]
    ) -> Replacement:
        n = len(self.pairs)
        clean = {place.start: self._clean(site, layer, place) for _, place in held}

        def replace(forward: Forward) -> Forward:
            def run(*args: object, **kwargs: object) -> object:
                output = forward(*args, **kwargs)
                view = as_batch(first_tensor(output), (shape[0], shape[1]))
                for i, place in held:
                    view[i * n : (i + 1) * n, place] = clean[place.start]
                return output

            return run

        return replace

    def _corrupted(self, depth: int) -> Tensor:
        return self.base.resid[depth][self.pairs.corrupted, self.suffix.start :]

    def _clean(self, site: Site, layer: int, place: slice) -> Tensor:
        activation = self.base.sites[site][layer]
        return activation[self.pairs.clean, self.suffix.start :][:, place]

    def _corr(self, site: Site, layer: int, place: slice) -> Tensor:
        activation = self.base.sites[site][layer]
        return activation[self.pairs.corrupted, self.suffix.start :][:, place]


def _give(output: object) -> Replacement:
    return lambda forward: lambda *args, **kwargs: output

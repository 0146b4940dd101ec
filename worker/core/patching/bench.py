"""Facts with their corrupted copies, run once and ready for patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.core.models.base_run import BaseRun, embed, run_base
from worker.core.models.batches import free_bytes
from worker.core.models.model import Model
from worker.core.models.restart import Ends, Pairs, Patch, measure_rows, run_patches
from worker.core.models.sites import Site
from worker.core.models.tokens import pad
from worker.core.patching.change import Change
from worker.core.patching.corruption import Corrupted
from worker.core.patching.metric import Metric, answer_tensor, foil_tensor, measure, rounding

CPU_ROWS = 1024
"""Rows of a pass that fill a CPU; facts beyond them wait for a batch of their own."""


@dataclass
class Bench:
    """Facts with their corrupted copies, run once and ready for patches.

    Rows: every fact's clean prompt first, then all corrupted copies, fact by fact, left-padded.
    """

    items: Sequence[Corrupted]
    base: BaseRun
    pairs: Pairs
    fact_of_pair: Int[Tensor, " pair"]
    answers: Int[Tensor, " pair"]
    foils: Int[Tensor, " pair"] | None
    metric: Metric
    offsets: list[int] = field(default_factory=list)
    """Padding before each fact's first token."""
    changes: list[Change] = field(default_factory=list)
    """The metric per fact, the corrupted one averaged over its copies."""
    noising: bool = False
    """Whether corrupted states go into the clean run, instead of clean ones into the corrupted."""

    @property
    def clean(self) -> np.ndarray:
        """The metric per fact of the clean prompts."""
        return np.array([change.clean for change in self.changes])

    @property
    def corrupted(self) -> np.ndarray:
        """The metric per fact of the corrupted prompts."""
        return np.array([change.corrupted for change in self.changes])

    @property
    def compared_beside(self) -> bool:
        """Whether patches are compared with one of nothing that goes through their own batch.

        In 16 bits a row's values depend on the rows beside it by more than many an effect.
        """
        return self.base.model.dtype.itemsize < 4

    def with_nothing(self, patches: Sequence[Patch]) -> list[Patch]:
        """The patches, and last what they are compared with, where that is a patch."""
        return [*patches, Patch("nothing", 0)] if self.compared_beside else list(patches)

    @property
    def unpatched(self) -> np.ndarray:
        """The metric per fact of the run that is patched."""
        return self.clean if self.noising else self.corrupted

    def measure(self, logits: Float[Tensor, "k vocab"], pair: Int[Tensor, " k"]) -> Tensor:
        clean = self.base.logits[self.pairs.clean[pair]] if self.metric == "kl" else None
        foils = None if self.foils is None else self.foils[pair]
        return measure(self.metric, logits, self.answers[pair], foils, clean)

    def starts(self) -> list[int]:
        """Each fact's first corrupted position, counted with the padding."""
        return [
            offset + item.case.prompt.subject[0]
            for offset, item in zip(self.offsets, self.items, strict=True)
        ]

    def positions(self) -> Iterator[tuple[int, Tensor]]:
        """Go through positions that matter, each with the pairs that are corrupted by then."""
        start = torch.tensor(self.starts(), device=self.fact_of_pair.device)[self.fact_of_pair]
        for position in range(min(self.starts()), self.base.n_positions):
            yield position, torch.nonzero(start <= position).flatten()

    def patch(
        self, patches: Sequence[Patch], position: int, chosen: Tensor, whole: bool = False
    ) -> np.ndarray:
        """Measure patches (patch, fact): averaged over copies; NaN for facts not chosen."""
        ends = self.run(patches, position, chosen, whole)
        return self.measured([len(patches)], [(chosen, ends)])[0]

    def run(
        self, patches: Sequence[Patch], position: int, chosen: Tensor, whole: bool = False
    ) -> Ends:
        """Carry patches of some pairs to the end, unmeasured."""
        pairs = Pairs(self.pairs.clean[chosen], self.pairs.corrupted[chosen])
        if self.noising:
            pairs = Pairs(pairs.corrupted, pairs.clean)
        return run_patches(self.base, patches, pairs, position, whole)

    def measured(
        self, counts: Sequence[int], parts: Sequence[tuple[Tensor, Ends]]
    ) -> list[np.ndarray]:
        """Measure what several runs carried to the end, unembedded together; each (patch, fact)."""
        ends = [
            (chosen.repeat(len(e.carried)), e.last) for chosen, e in parts if e.last is not None
        ]
        rows: list[Tensor] = []
        if ends:
            last, pair = torch.cat([last for _, last in ends]), torch.cat([p for p, _ in ends])
            values = measure_rows(self.base, last, pair, self.measure)
            rows = list(values.split([len(p) for p, _ in ends]))
        found = []
        for n_patches, (chosen, e) in zip(counts, parts, strict=True):
            table = self.unpatched_pairs[chosen].expand(n_patches, -1).clone()
            if e.last is not None:
                table[e.carried] = rows.pop(0).view(len(e.carried), -1)
            found.append(mean_by(table.cpu(), self.fact_of_pair[chosen].cpu(), len(self.items)))
        return found

    @cached_property
    def unpatched_pairs(self) -> Float[Tensor, " pair"]:
        """The metric per pair of the run that is patched."""
        rows = self.pairs.clean if self.noising else self.pairs.corrupted
        every = torch.arange(len(self.pairs), device=self.fact_of_pair.device)
        return self.measure(self.base.logits[rows], every)


def make_bench(
    model: Model, items: Sequence[Corrupted], metric: Metric, sites: Sequence[Site] = ()
) -> Bench:
    """Run clean and corrupted rows of some facts once."""
    n = len(items)
    copies = [len(item.embeds) for item in items]
    fact = torch.tensor([i for i, k in enumerate(copies) for _ in range(k)], device=model.device)
    cases = [item.case for item in items]
    batch = pad(model, [case.prompt for case in cases] + [cases[i].prompt for i in fact.tolist()])
    embeds = embed(model, batch.ids)
    row = n
    for item in items:
        embeds[row : row + len(item.embeds), embeds.shape[1] - item.case.length :] = item.embeds
        row += len(item.embeds)
    base = run_base(model, batch, embeds, sites)
    foils = foil_tensor(cases, model.device)
    bench = Bench(
        items=items,
        base=base,
        pairs=Pairs(fact, torch.arange(n, n + len(fact), device=model.device)),
        fact_of_pair=fact,
        answers=answer_tensor(cases, model.device)[fact],
        foils=None if foils is None else foils[fact],
        metric=metric,
        offsets=[base.n_positions - case.length for case in cases],
    )
    bench.changes = _changes(bench)
    return bench


def _changes(bench: Bench) -> list[Change]:
    """Compare each fact's clean and corrupted metric."""
    base, pairs = bench.base, bench.pairs
    every = torch.arange(len(pairs), device=bench.fact_of_pair.device)
    logits = [base.logits[rows] for rows in (pairs.clean, pairs.corrupted)]
    measured = [bench.measure(rows, every) for rows in logits]
    bounds = [
        rounding(bench.metric, rows, values, base.model.dtype)
        for rows, values in zip(logits, measured, strict=True)
    ]
    columns = torch.stack([*measured, torch.maximum(*bounds)]).cpu()
    by_fact = mean_by(columns, bench.fact_of_pair.cpu(), len(bench.items))
    return [Change(*map(float, fact)) for fact in by_fact.T]


def facts_per_batch(model: Model, items: Sequence[Corrupted], n_patches: int) -> int:
    """Guess how many facts fit: kept activations, and rows that a restart carries."""
    copies = max(len(item.embeds) for item in items)
    longest = max(item.case.length for item in items)
    return facts_that_fit(model, copies, longest, n_patches)


def facts_that_fit(model: Model, copies: int, longest: int, n_patches: int) -> int:
    """Guess how many facts of so many corrupted copies and tokens fit."""
    kept = (copies + 1) * longest * model.n_layers * 5 * model.d_model
    carried = copies * n_patches * longest * 8 * model.d_model
    fits = free_bytes(model.device) // (4 * (kept + carried))
    # On a CPU small batches cost little, and rows of the heatmap appear sooner.
    most = 256 if model.device.type != "cpu" else min(4, CPU_ROWS // (copies * n_patches))
    return int(max(1, min(fits, most)))


def mean_by(values: Tensor, group: Tensor, n_groups: int) -> np.ndarray:
    """Average columns of (row, column) by group; NaN for a group without columns."""
    sums = torch.zeros(len(values), n_groups).index_add(1, group, values.float())
    counts = torch.zeros(n_groups).index_add(0, group, torch.ones(len(group)))
    return (sums / counts).double().numpy()

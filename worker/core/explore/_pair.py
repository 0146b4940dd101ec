"""Two prompts of as many tokens, run once, and patches of one by the other's activations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.explore._answers import Contexts, Scored, contexts_of, scored
from worker.core.explore._subject import CLEAN, CORRUPTED, Subject, require_pair
from worker.core.models.base_run import BaseRun
from worker.core.models.restart import Pairs, Patch, run_patches
from worker.core.models.sites import Site
from worker.core.models.suffix import unembed

Direction = Literal["denoising", "noising"]
DIRECTION = "denoising: clean activations into the corrupted prompt. noising: the reverse."
SHORT_TOKENS = 2048
"""Rows times positions up to which several positions share a pass."""
_LOGITS = 2**23
"""Logits that are read together."""


@dataclass
class Pair:
    """The rows of both prompts: all contexts of the clean one, then those of the corrupted."""

    subject: Subject
    direction: Direction
    sites: Sequence[Site] = ()
    contexts: Contexts = field(init=False)
    base: BaseRun = field(init=False)

    def __post_init__(self) -> None:
        require_pair(self.subject)
        self.contexts = contexts_of(self.subject.answers, CLEAN)
        rows = [*self.contexts.of(CLEAN), *self.contexts.of(CORRUPTED)]
        self.base = self.subject.kept(rows, self.sites)
        logits = self.base.logits.unflatten(0, (2, len(self.contexts)))
        self.unpatched: Scored = scored(self.contexts, logits[[self.into]])
        self.both: Scored = scored(self.contexts, logits)
        """The clean and the corrupted run."""

    @property
    def into(self) -> int:
        """The prompt that is patched."""
        return CORRUPTED if self.direction == "denoising" else CLEAN

    @property
    def first(self) -> int:
        """The first position at which the prompts differ: patches before it change nothing."""
        clean, corrupted = self.subject.prompts
        if self.subject.noise is not None:
            return clean.subject[0]
        pairs = zip(clean.ids, corrupted.ids, strict=True)
        return next(place for place, (one, other) in enumerate(pairs) if one != other)

    def row(self, which: int, context: int) -> int:
        """The row of a prompt in one context."""
        return which * len(self.contexts) + context

    def column(self, context: int, position: int) -> int:
        """Where a prompt's position stands in the rows of a context."""
        used = self.subject.n_positions + len(self.contexts.rows[context][1])
        return self.base.n_positions - used + position

    def measure(self, patches: Sequence[Patch], position: int, whole: bool = False) -> Scored:
        """Run patches at a position (or, `whole`, at all from it on) and score the answers.

        A patch that cannot reach the end gives what the unpatched run gives.
        """
        last = [self._last(patches, position, whole, c) for c in range(len(self.contexts))]
        return self.read(torch.stack(last, dim=1))

    def read(self, last: Float[Tensor, "run context d_model"]) -> Scored:
        """Unembed last residuals and score the answers."""
        size = max(1, _LOGITS // (self.subject.model.d_vocab * len(self.contexts)))
        parts = []
        for some in last.split(size):
            logits = unembed(self.base, some.flatten(0, 1)).unflatten(0, some.shape[:2])
            parts.append(scored(self.contexts, logits))
        return Scored.joined(parts)

    def _last(
        self, patches: Sequence[Patch], position: int, whole: bool, context: int
    ) -> Float[Tensor, "patch d_model"]:
        rows = [self.row(which, context) for which in (CLEAN, CORRUPTED)]
        clean, corrupted = (torch.tensor([row], device=self.base.embeds.device) for row in rows)
        pairs = Pairs(clean, corrupted) if self.into == CORRUPTED else Pairs(corrupted, clean)
        ends = run_patches(self.base, patches, pairs, self.column(context, position), whole)
        found = self.base.resid[-1][rows[self.into], -1].repeat(len(patches), 1)
        if ends.last is not None:
            found[ends.carried] = ends.last
        return found

    def by_position(
        self, patches: Sequence[Patch], start: int, stop: int
    ) -> Iterator[tuple[int, Scored]]:
        """Run all patches at each position, the last first: those take least."""
        for group in reversed(list(self._groups(len(patches), max(start, self.first), stop))):
            shifted = [replace(patch, at=k) for k in range(len(group)) for patch in patches]
            found = self.measure(shifted, group[0])
            n = len(patches)
            for k, position in reversed(list(enumerate(group))):
                part = slice(k * n, (k + 1) * n)
                yield (
                    position,
                    Scored(
                        {name: values[part] for name, values in found.logits.items()},
                        {name: values[part] for name, values in found.log_probs.items()},
                    ),
                )

    def _groups(self, n_patches: int, start: int, stop: int) -> Iterator[list[int]]:
        """Put positions together whose passes are too short to fill the device one by one."""
        group: list[int] = []
        for position in range(start, stop):
            group.append(position)
            left = self.base.n_positions - self.column(0, group[0])
            if n_patches * left > SHORT_TOKENS or len(group) >= 1 + left // 8:
                yield group
                group = []
        if group:
            yield group

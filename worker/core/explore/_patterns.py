"""Attention patterns: the model's own, asked for through its plain attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.contract.errors import UserError
from worker.core.models.base_run import BaseRun, run_base
from worker.core.models.intercept import Forward, Replacement, replaced_forwards
from worker.core.models.model import Model
from worker.core.models.sites import module_at
from worker.core.models.tokens import pad

N_RANDOM = 20
"""Random tokens, which stand twice: what a head does there does not depend on words."""


@dataclass(frozen=True)
class Attended:
    """A run of one unpadded row with every layer's attention pattern."""

    run: BaseRun
    patterns: list[Float[Tensor, "head query key"]]

    def values(self, layer: int) -> Float[Tensor, "head key d_head"]:
        """Each head's values; heads that share them have the same."""
        model = self.run.model
        group = model.n_heads // model.n_kv_heads
        values: Tensor = self.run.values[layer][0].repeat_interleave(group, dim=0)
        return values

    def weighted(self, layer: int) -> Float[Tensor, "head query key"]:
        """Attention times the norm of what is attended to."""
        norms = self.values(layer).float().pow(2).sum(-1).sqrt()
        return self.patterns[layer] * norms[:, None]


def attend(model: Model, run: Callable[[], BaseRun]) -> Attended:
    """Run one row and keep its patterns; raises UserError where the model gives none."""
    seen: list[Any] = []

    def keep(forward: Forward) -> Forward:
        def noted(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            seen.append(output[1] if isinstance(output, tuple) and len(output) > 1 else None)
            return output

        return noted

    watched: dict[nn.Module, Replacement] = {
        module_at(model, "attn", layer): keep for layer in range(model.n_layers)
    }
    with _plainly(model), replaced_forwards(watched):
        found = run()
    if len(seen) != model.n_layers or any(not isinstance(one, Tensor) for one in seen):
        raise UserError(
            f"The attention of {model.id!r} does not tell its pattern, so it cannot be shown. "
            f"Direct and patching effects of its heads can.",
            field="model",
        )
    return Attended(found, [one[0].float() for one in seen])


@contextmanager
def _plainly(model: Model) -> Iterator[None]:
    """Have the model compute its attention step by step, as only that gives the pattern."""
    configs = {id(c): c for c in (model.hf.config, model.hf.config.get_text_config())}
    before = {key: config._attn_implementation for key, config in configs.items()}
    try:
        for config in configs.values():
            config._attn_implementation = "eager"
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation = before[key]


_Habits = dict[str, Float[np.ndarray, "layer head"]]
_known: WeakKeyDictionary[Model, tuple[tuple[str, int], _Habits]] = WeakKeyDictionary()


def habits(model: Model, seed: int) -> _Habits:
    """Score what every head does on the same random tokens twice, as mean attention.

    previous: to the token before. duplicate: to the same token before. induction: to the token
    after the same token before (Olsson et al. 2022), the last two from the second half. They are
    kept until the model's weights are others.
    """
    state = (model.state_hash, seed)
    if model not in _known or _known[model][0] != state:
        _known[model] = (state, _habits(model, seed))
    return dict(_known[model][1])


@torch.no_grad()
def _habits(model: Model, seed: int) -> _Habits:
    n = min(N_RANDOM, (model.max_positions - 1) // 2)
    special = set(model.tokenizer.all_special_ids)
    usual = torch.tensor([t for t in range(min(model.n_rows, model.d_vocab)) if t not in special])
    generator = torch.Generator().manual_seed(seed)
    drawn = usual[torch.randint(len(usual), (n,), generator=generator)].tolist()
    start = model.tokenizer.bos_token_id
    begun = [] if start is None or start >= model.n_rows else [start]
    batch = pad(model, [[*begun, *drawn, *drawn]])
    attended = attend(model, lambda: run_base(model, batch))
    query = torch.arange(len(begun) + n, len(begun) + 2 * n)
    every = torch.arange(1, len(begun) + 2 * n)
    places = {
        "previous": (every, every - 1),
        "duplicate": (query, query - n),
        "induction": (query, query - n + 1),
    }
    return {
        name: torch.stack([p[:, q, k].mean(-1) for p in attended.patterns]).cpu().double().numpy()
        for name, (q, k) in places.items()
    }


def groups(model: Model) -> list[list[int]]:
    """Which heads share their keys and values."""
    size = model.n_heads // model.n_kv_heads
    return [list(range(start, start + size)) for start in range(0, model.n_heads, size)]


def sharing(model: Model, head: int | None = None) -> str:
    """Say which heads share keys and values; nothing where every head has its own."""
    size = model.n_heads // model.n_kv_heads
    if size == 1:
        return ""
    if head is None:
        return (
            f"Every {size} heads share their keys and values (grouped-query attention, "
            f"{model.n_kv_heads} groups), so an edit of a head's keys or values changes its group."
        )
    others = [other for other in groups(model)[head // size] if other != head]
    return (
        f"Head {head} shares its keys and values with "
        f"{'head' if len(others) == 1 else 'heads'} {', '.join(map(str, others))} "
        f"(grouped-query attention): an edit of them changes all of these."
    )

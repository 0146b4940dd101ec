"""Call the model's own blocks on a part of the positions, with the rest in their key-value cache.

How a block is called (positions, rotary embeddings, masks, sliding windows) is the family's own
affair, so the model's forward is asked: it runs with stand-ins for its blocks, which note their
arguments, and no arithmetic of any size is done. The blocks are then called with these arguments.
The unembedding goes the same way: the model's forward runs with stand-ins of which the last returns
the given residual, so final norm, soft cap and scaling are the model's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from worker.core.models.base_run import BaseRun, forward_arguments, in_form
from worker.core.models.intercept import Forward, Replacement, first_tensor, replaced_forwards
from worker.core.models.interventions import computing
from worker.core.models.operations import block_operations, unembed_operations

_ALL = slice(None)
_LOGIT_BYTES = 2**28  # logits of one unembedding: 256 MiB


class PrefixLayer(DynamicLayer):
    """A cache layer that holds the keys and values before `start` and never grows."""

    def __init__(self, start: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.start = start
        self.prefix: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.prefix is None or not self.start:
            return key_states, value_states
        keys, values = self.prefix
        return torch.cat([keys, key_states], dim=-2), torch.cat([values, value_states], dim=-2)

    def get_seq_length(self) -> int:
        return self.start


class Suffix:
    """The positions from `start` on, of any rows of a base run."""

    def __init__(self, base: BaseRun, start: int) -> None:
        self.base, self.start = base, start
        self._layer = PrefixLayer(start)
        self._cache = Cache(layers=[self._layer] * base.model.n_layers)
        # Without padding all rows share positions and masks, so one row tells them.
        self._rows = base.mask.shape[0] if base.padded else 1
        self._calls = self._record_calls()

    def run(
        self,
        layer: int,
        hidden: Float[Tensor, "n suffix d_model"],
        rows: Int[Tensor, " n"],
        replacements: Mapping[nn.Module, Replacement] | None = None,
        place: slice = _ALL,
    ) -> Float[Tensor, "n suffix d_model"]:
        """Run one block; `rows` are the base rows whose prefix each row of `hidden` continues.

        `place` are the suffix's positions that `hidden` has; others than all only where the
        attention is answered for.
        """
        base = self.base
        if self.start:
            keys, values = base.keys[layer], base.values[layer]
            self._layer.prefix = (keys[rows, :, : self.start], values[rows, :, : self.start])
        args, kwargs = self._calls[layer]
        if self._rows > 1:
            args, kwargs = _select((args, kwargs), rows, self._rows)
        if "hidden_states" in kwargs:
            kwargs = {**kwargs, "hidden_states": hidden}
        else:
            args = (hidden, *args[1:])
        base.operations += block_operations(
            base.model, len(hidden), hidden.shape[1], base.n_positions
        )
        positions = base.position_ids[rows, self.start :][:, place]
        with replaced_forwards(replacements or {}), computing(positions):
            return first_tensor(base.model.blocks[layer](*args, **kwargs))

    def _record_calls(self) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        blocks = self.base.model.blocks

        def stand_in(forward: Forward) -> Forward:
            def note(*args: Any, **kwargs: Any) -> Any:
                calls.append((args, kwargs))
                if len(calls) == len(blocks):
                    raise _Noted
                hidden = args[0] if args else kwargs["hidden_states"]
                return in_form(self.base, "block", hidden)

            return note

        arguments = forward_arguments(self.base, self.start, self._rows)
        try:
            with replaced_forwards(dict.fromkeys(blocks, stand_in)):
                self.base.model.hf(**arguments, past_key_values=self._cache)
        except _Noted:
            pass
        return calls


class _Noted(Exception):
    """Every block's call was noted; the rest of the forward is not needed."""


def unembed(base: BaseRun, hidden: Float[Tensor, "n d_model"]) -> Float[Tensor, "n vocab"]:
    """Turn last residuals into float32 logits, through the model's own final norm and head."""
    size = max(1, _LOGIT_BYTES // (4 * base.model.d_vocab))
    parts = [_unembed(base, part) for part in hidden.split(size)]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _unembed(base: BaseRun, hidden: Tensor) -> Tensor:
    blocks = base.model.blocks
    base.operations += unembed_operations(base.model, len(hidden))

    def give(forward: Forward) -> Forward:
        def answer(*args: Any, **kwargs: Any) -> Any:
            return in_form(base, "block", hidden[:, None])

        return answer

    embeds = base.embeds[:1, :1].expand(len(hidden), -1, -1)
    places = {"position_ids": base.position_ids.new_zeros(1, 1)}
    with replaced_forwards(dict.fromkeys(blocks, give)):
        out = base.model.hf(
            inputs_embeds=embeds,
            use_cache=False,
            logits_to_keep=1,
            **(places if base.model.takes_position_ids else {}),
        )
    last: Tensor = out.logits[:, -1]
    return last.float()


def _select(value: Any, rows: Tensor, n_rows: int) -> Any:
    """Take the rows of every batched tensor among a call's arguments."""
    if isinstance(value, Tensor) and value.ndim >= 2 and value.shape[0] == n_rows:
        return value[rows]
    if isinstance(value, tuple | list):
        return type(value)(_select(item, rows, n_rows) for item in value)
    if isinstance(value, dict):
        return {key: _select(item, rows, n_rows) for key, item in value.items()}
    return value

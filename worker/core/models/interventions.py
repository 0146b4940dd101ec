"""Change activations while a model runs, whoever runs it, and leave it as it was.

Outputs (residual stream, attention, MLP) are changed inside the module's forward, so that what
watches it sees them changed; inputs (heads before the output projection, neurons before the last
projection) before anything else sees them. Only forwards of the model, and blocks run for known
positions, are changed: a projection that is called by itself computes what it always does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from worker.contract.interventions import Intervention
from worker.core.models.components import output_columns
from worker.core.models.intercept import Forward, Replacement, replaced_forwards, seeing_output
from worker.core.models.model import Model
from worker.core.models.sites import Site, as_batch, both, module_at

_OUTPUTS: dict[str, Site] = {"resid": "resid_post", "attn": "attn", "mlp": "mlp"}
_positions: ContextVar[Int[Tensor, "row pos"] | None] = ContextVar("positions", default=None)


@dataclass(frozen=True)
class Change:
    """An intervention with what it puts in, if anything: values by position in the prompt.

    `values` has one row for a value that is the same everywhere. `repeats` begins them anew past
    their end; else positions past it are left alone.
    """

    intervention: Intervention
    values: Float[Tensor, "pos width"] | None = None
    repeats: bool = False


@contextmanager
def intervened(model: Model, changes: Sequence[Change]) -> Iterator[None]:
    """Have every forward of the model changed so, the first change first."""
    if not changes:
        yield
        return
    outputs: dict[nn.Module, Replacement] = {}
    before = model.intervened
    with ExitStack() as stack:
        for change in changes:
            act = partial(_changed, model, change)
            module = site_module(model, change.intervention)
            if change.intervention.site in _OUTPUTS:
                outputs = both(outputs, {module: seeing_output(act)})
            else:
                hook = module.register_forward_pre_hook(_on_input(act))
                stack.callback(hook.remove)
        stack.enter_context(replaced_forwards({**outputs, model.hf: _telling_positions}))
        stack.callback(setattr, model, "intervened", before)
        model.intervened = before + digest_of(changes)
        yield


def site_module(model: Model, one: Intervention) -> nn.Module:
    """The module whose output (resid, attn, mlp) or input (head, neuron) is changed."""
    if one.site == "neuron":
        return model.blocks[one.layer].get_submodule(model.layout.mlp_out)
    return module_at(model, _OUTPUTS.get(one.site, "z"), one.layer)


def is_output(one: Intervention) -> bool:
    """Whether it changes what its module returns, not what goes in."""
    return one.site in _OUTPUTS


def columns_of(model: Model, one: Intervention) -> slice:
    """The entries of its activation that it changes."""
    if one.head is not None:
        return output_columns(model, one.head)
    return slice(None) if one.neuron is None else slice(one.neuron, one.neuron + 1)


@contextmanager
def computing(positions: Int[Tensor, "row pos"]) -> Iterator[None]:
    """Say which positions of their prompts the rows of a forward are at."""
    token = _positions.set(positions)
    try:
        yield
    finally:
        _positions.reset(token)


def digest_of(changes: Sequence[Change]) -> str:
    """Name what is changed, so that what was computed under it is not taken for another's."""
    sha = hashlib.sha256()
    for change in changes:
        sha.update(change.intervention.model_dump_json().encode())
        if change.values is not None:
            sha.update(change.values.detach().float().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def _on_input(act: Callable[[Tensor], Tensor | None]) -> Callable[[nn.Module, Any], Any]:
    def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        changed = act(args[0])
        return None if changed is None else (changed, *args[1:])

    return hook


def _changed(model: Model, change: Change, activation: Tensor) -> Tensor | None:
    positions = _positions.get()
    if positions is None:
        return None
    one, columns = change.intervention, columns_of(model, change.intervention)
    view = as_batch(activation, (positions.shape[0], positions.shape[1]))
    part = view[..., columns]
    chosen = torch.ones_like(positions, dtype=torch.bool)
    if one.token is not None:
        chosen = positions == one.token
    if change.values is not None and len(change.values) > 1 and not change.repeats:
        chosen = chosen & (positions < len(change.values))
    found = view.clone()
    found[..., columns] = torch.where(chosen[..., None], _put(change, part, positions), part)
    changed: Tensor = found.view(activation.shape)
    return changed


def _put(change: Change, part: Tensor, positions: Tensor) -> Tensor:
    """What stands in place of a part of an activation."""
    one, values = change.intervention, change.values
    if one.kind == "zero":
        return torch.zeros_like(part)
    if one.kind == "scale":
        return part * one.factor
    assert values is not None
    values = values.to(part)
    if one.kind == "direction":
        length = part.float().norm(dim=-1, keepdim=True).to(part)
        moved: Tensor = part + one.factor * length * values[0]
        return moved
    put: Tensor = values[positions % len(values)]
    return put


def _telling_positions(forward: Forward) -> Forward:
    @wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        with computing(_positions_of(args, kwargs)):
            return forward(*args, **kwargs)

    return run


def _positions_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The positions of a whole model's forward, from the arguments that it is called with."""
    first = kwargs.get("input_ids", args[0] if args else None)
    first = kwargs["inputs_embeds"] if first is None else first
    rows, n = first.shape[:2]
    positions, mask = kwargs.get("position_ids"), kwargs.get("attention_mask")
    if positions is None and isinstance(mask, Tensor) and mask.ndim == 2:
        positions = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -n:]
    if positions is None:
        past = kwargs.get("past_key_values")
        start = 0 if past is None else int(past.get_seq_length())
        positions = torch.arange(start, start + n, device=first.device)[None]
    whole: Tensor = positions.expand(rows, -1)
    return whole

"""Compute the final norm and the logits in float32, whatever dtype the blocks compute in.

A logit near 20 has a step of 0.125 in bfloat16, which is more than many an effect that is looked
for. The final norm therefore reads the last residual as float32, and the unembedding is multiplied
in float32 piece by piece of the vocabulary, so that no float32 copy of it is ever whole. Only the
positions that a forward unembeds are computed so.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from worker.contract.errors import UserError
from worker.core.models.layout import read_layout

_PIECE_BYTES = 2**26
"""Of the unembedding that is in float32 at one time."""


def unembed_in_float32(hf: PreTrainedModel) -> None:
    """Have a model of 16 bits give float32 logits; one of 32 bits is left as it is."""
    if next(hf.parameters()).itemsize >= 4 or next(hf.parameters()).is_meta:
        return
    try:
        layout = read_layout(hf)
    except UserError:  # of no family that is known; every use of its parts says so
        return
    head = hf.get_submodule(layout.unembed)
    if type(head) is not nn.Linear:
        return
    _answer_by(head, _Head(head))
    # What stands between norm and head (OPT-350m's projection) takes the model's own dtype.
    between = getattr(getattr(hf.get_decoder(), "project_out", None), "weight", None)
    if layout.ln_final and between is None:
        norm = hf.get_submodule(layout.ln_final)
        _answer_by(norm, _Norm(norm))


def computes_in_float32(module: nn.Module) -> bool:
    """Whether a module's own forward is computed here in float32."""
    return isinstance(vars(module).get("forward"), _Norm | _Head)


def _answer_by(module: nn.Module, forward: Any) -> None:
    """Put a forward in the place of a module's own, once."""
    if not computes_in_float32(module):
        module.__dict__["forward"] = forward


class _Norm:
    """The norm's own forward with its input and weights as float32."""

    def __init__(self, norm: nn.Module) -> None:
        self.norm = norm

    def __call__(self, hidden: Tensor) -> Tensor:
        made = copy.copy(self.norm)
        weights = {name: value.float() for name, value in self.norm.named_parameters()}
        made.__dict__ = {**vars(self.norm), "_parameters": weights}
        found: Tensor = type(self.norm).forward(made, hidden.float())
        return found


class _Head:
    """The unembedding's product in float32."""

    def __init__(self, head: nn.Linear) -> None:
        self.head = head

    def __call__(self, hidden: Tensor) -> Tensor:
        args = hidden.float(), self.head.weight, self.head.bias
        found: Tensor = _Product.apply(*args)  # type: ignore[no-untyped-call]
        return found


class _Product(torch.autograd.Function):
    """Multiply by a matrix [vocab, d_model] of 16 bits in float32; the graph keeps its 16 bits."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        found = x.new_empty(*x.shape[:-1], len(weight))
        for rows in _pieces(weight):
            found[..., rows] = x @ weight[rows].float().T
        return found if bias is None else found + bias.float()

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (slope,), (x, weight, bias) = slopes, ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = torch.zeros_like(x)
            for rows in _pieces(weight):
                of_x += slope[..., rows] @ weight[rows].float()
        if ctx.needs_input_grad[1]:
            flat, width = slope.reshape(-1, len(weight)), x.shape[-1]
            of_weight = (flat.T @ x.reshape(-1, width)).to(weight.dtype)
        if bias is not None and ctx.needs_input_grad[2]:
            of_bias = slope.reshape(-1, len(weight)).sum(0).to(bias.dtype)
        return of_x, of_weight, of_bias


def _pieces(weight: Tensor) -> list[slice]:
    size = max(1, _PIECE_BYTES // (4 * weight.shape[1]))
    return [slice(start, start + size) for start in range(0, len(weight), size)]

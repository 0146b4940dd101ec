"""Round a model's matrices to few bits for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from worker.core.models.components import is_transposed
from worker.core.models.deltas import restored
from worker.core.models.model import Model

Kind = Literal["8", "4", "nf4"]
BLOCK = 64
# Quantiles of the normal distribution, scaled to [-1, 1], with an exact 0 (Dettmers et al. 2023).
NF4 = (
    -1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0,
    0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0,
)  # fmt: skip


@contextmanager
def quantized(model: Model, kind: Kind) -> Iterator[None]:
    """Round every matrix of every block; put the weights back bit for bit on leaving."""
    with restored(model, _matrices(model)):
        quantize(model, kind)
        yield


def quantize(model: Model, kind: Kind) -> None:
    """Round every matrix of every block in place."""
    parameters = dict(model.hf.named_parameters())
    with torch.no_grad():
        for name in _matrices(model):
            weight = parameters[name].detach()
            turned = is_transposed(model.hf.get_submodule(name.rpartition(".")[0]))
            rows = weight.T if turned else weight
            rounded = round_nf4(rows) if kind == "nf4" else round_to_nearest(rows, int(kind))
            weight.copy_(rounded.T if turned else rounded)


def round_to_nearest(weight: Float[Tensor, "out in"], bits: int) -> Float[Tensor, "out in"]:
    """Round to 2^bits − 1 evenly spaced values, symmetric about 0, one scale per row."""
    top = 2 ** (bits - 1) - 1
    scale = weight.float().abs().amax(1, keepdim=True).clamp(min=1e-12) / top
    whole = (weight.float() / scale).round().clamp(-top, top)
    return torch.mul(whole, scale).to(weight.dtype)


def without_library(device: torch.device) -> str:
    """Say why nf4 is not rounded by bitsandbytes on this device; "" where it is."""
    lacking = "an NVIDIA GPU" if device.type != "cuda" else ""
    if find_spec("bitsandbytes") is None:
        lacking = f"{lacking} and the package" if lacking else "the package"
    if not lacking:
        return ""
    return (
        f"bitsandbytes' own nf4 is not available here: it needs {lacking}; nf4 was rounded by "
        f"Lethe's own code, with the same 16 values and blocks of {BLOCK} weights."
    )


def round_nf4(weight: Float[Tensor, "out in"]) -> Float[Tensor, "out in"]:
    """Round each block of 64 weights to the 16 nf4 values times the block's largest size.

    By bitsandbytes where `without_library` gives no reason against it.
    """
    flat = weight.float().flatten()
    blocks = torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    if without_library(weight.device):
        rounded = _round_blocks(blocks)
    else:
        # Imported here: it is no requirement, and looks for CUDA libraries when imported.
        from bitsandbytes import functional

        packed, state = functional.quantize_4bit(blocks, blocksize=BLOCK, quant_type="nf4")
        rounded = functional.dequantize_4bit(packed, state)
    return rounded.flatten()[: len(flat)].view(weight.shape).to(weight.dtype)


def _round_blocks(blocks: Float[Tensor, "block weight"]) -> Float[Tensor, "block weight"]:
    scale = blocks.abs().amax(1, keepdim=True).clamp(min=1e-12)
    codes = torch.tensor(NF4, device=blocks.device)
    middles = (codes[1:] + codes[:-1]) / 2
    return codes[torch.bucketize(blocks / scale, middles)] * scale


def _matrices(model: Model) -> list[str]:
    prefix = f"{model.layout.blocks}."
    return [n for n, p in model.hf.named_parameters() if n.startswith(prefix) and p.ndim == 2]

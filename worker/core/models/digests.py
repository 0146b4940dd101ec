"""Checksums of tensors: SHA-256 over dtype, shape and bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def digest(tensor: Tensor) -> str:
    """Compute SHA-256 over a tensor's dtype, shape and bytes."""
    head = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    sha = hashlib.sha256(head)
    sha.update(data.data)
    return sha.hexdigest()


def digest_values(tensor: Tensor) -> str:
    """Compute SHA-256 over a tensor's numbers, the same in every dtype that can write them."""
    return digest(tensor.float() if tensor.itemsize < 4 else tensor)


def combine_digests(digests: Mapping[str, str]) -> str:
    """Compute one SHA-256 over named digests, whatever their order."""
    lines = "\n".join(f"{name} {digests[name]}" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()

"""A model by its configuration and tokenizer alone: what is looked at before it is loaded."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from worker.core.models.folder import Fingerprint, fingerprint
from worker.core.models.model import Model
from worker.core.models.vocabulary import load_tokenizer
from worker.core.models.weightless import hf_without_values


class Sizes(Model):
    """A model without values that says where, and in what, it would be computed."""

    def __init__(
        self,
        name: str,
        folder: Path,
        tokenizer: PreTrainedTokenizerBase,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Take the folder's configuration and its tokenizer."""
        self._device, self._dtype = device, dtype
        self.told_hash = ""
        """Hash of the weights as a process said that holds them; empty where none did."""
        super().__init__(name, hf_without_values(folder), tokenizer, folder)

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    @property
    def weights_hash(self) -> str:
        return self.told_hash

    @property
    def state_hash(self) -> str:
        return self.told_hash


def without_values(name: str, folder: Path, device: torch.device, dtype: torch.dtype) -> Sizes:
    """Make a model of the folder's configuration and tokenizer, as it would be loaded."""
    return _kept(name, folder, fingerprint(folder), device, dtype)


@lru_cache(maxsize=16)
def _kept(
    name: str, folder: Path, state: Fingerprint, device: torch.device, dtype: torch.dtype
) -> Sizes:
    """Make it once of a folder as it was at `state`: a tokenizer takes half a second."""
    return Sizes(name, folder, load_tokenizer(folder), device, dtype)

"""Parameters' checksums, taken anew only of those that can have changed.

torch counts, for every tensor, how often it was written in place. A parameter that is the same
object, at the same place in memory, with the same count as when it was hashed holds the same bits.
What this cannot see, a full pass finds: a write past torch, through `.data`, or by a fused
optimizer that nobody counted (`torch.autograd.graph.increment_version`).
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping

from torch import Tensor, nn

from worker.core.models.digests import digest
from worker.core.models.offloaded import is_offloaded, read_value


class Hashed:
    """What is known of a model's parameters."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: dict[str, tuple[weakref.ref[Tensor], int, int, str]] = {}

    def remember(self, hf: nn.Module, digests: Mapping[str, str]) -> None:
        """Take checksums that the parameters are known to have now."""
        for name, parameter in hf.named_parameters():
            if name in digests and not is_offloaded(parameter):
                self._known[name] = (*_state(parameter), digests[name])

    def checksums(self, hf: nn.Module, full: bool = False) -> dict[str, str]:
        """Give every parameter's SHA-256 as it is now; `full` believes no count."""
        return {name: self._one(hf, name, p, full) for name, p in hf.named_parameters()}

    def _one(self, hf: nn.Module, name: str, parameter: Tensor, full: bool) -> str:
        if is_offloaded(parameter):  # its values lie elsewhere, and are counted nowhere
            return digest(read_value(hf, name, parameter))
        known = self._known.get(name)
        if not full and known is not None and known[0]() is parameter:
            _, version, place = _state(parameter)
            if known[1:3] == (version, place):
                return known[3]
        found = digest(parameter.detach())
        self._known[name] = (*_state(parameter), found)
        return found


def _state(parameter: Tensor) -> tuple[weakref.ref[Tensor], int, int]:
    return weakref.ref(parameter), parameter._version, parameter.data_ptr()

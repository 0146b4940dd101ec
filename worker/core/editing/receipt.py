"""Prove what an edit changed: inside the mask tensor by tensor, outside bit by bit."""

from collections.abc import Mapping

import torch
from torch import Tensor

from worker.contract.result import ChangedTensor, Receipt
from worker.core.editing.parts import Index
from worker.core.models.deltas import parameter_checksums, state_checksum
from worker.core.models.model import Model


class Ledger:
    """What a model was before an edit: the mask's tensors, checksums of all."""

    def __init__(
        self, model: Model, slices: list[tuple[str, Index]], before: Mapping[str, Tensor]
    ) -> None:
        """Write down the model's state; `slices` are the mask's parts, `before` their tensors."""
        self.slices, self.inside = slices, before
        self.checksums = parameter_checksums(model)
        self.hash_before = model.state_hash

    def narrow(self, slices: list[tuple[str, Index]]) -> None:
        """Take fewer parts as the mask's, where they are known only after the edit."""
        names = {name for name, _ in slices}
        self.slices = slices
        self.inside = {name: value for name, value in self.inside.items() if name in names}

    def delta(self, model: Model) -> dict[str, Tensor]:
        """Copy every tensor whose bits differ now."""
        named = dict(model.hf.named_parameters())
        return {
            name: named[name].detach().clone()
            for name, before in self.inside.items()
            if not torch.equal(_bits(before), _bits(named[name].detach()))
        }

    def receipt(self, model: Model) -> Receipt:
        """Compare the edited model with what it was; `base_restored` is for `settle` to say."""
        named = {name: p.detach() for name, p in model.hf.named_parameters()}
        now = parameter_checksums(model)
        changed = [name for name in self.inside if now[name] != self.checksums[name]]
        outside = [name for name in self.checksums if name not in self.inside]
        unchanged = all(now[name] == self.checksums[name] for name in outside)
        checked = sum(named[name].numel() for name in outside if name in named)
        n_inside = 0
        for name, before in self.inside.items():
            rest = self._outside(name, before)
            unchanged &= torch.equal(_bits(before)[rest], _bits(named[name])[rest])
            checked += int(rest.sum())
            n_inside += int((~rest).sum())
        return Receipt(
            tensors=tuple(_changed(n, b, named[n]) for n, b in self.inside.items()),
            n_parameters=n_inside,
            n_changed=sum(_count(b, named[n]) for n, b in self.inside.items()),
            hash_before=self.hash_before,
            hash_after=state_checksum(model, {*model.changed, *changed}),
            outside_unchanged=bool(unchanged),
            n_outside_checked=checked,
            base_restored=False,
        )

    def settle(self, receipt: Receipt, model: Model) -> Receipt:
        """Say whether the loaded base has its old checksum again, the edit being taken back."""
        return receipt.model_copy(
            update={"base_restored": parameter_checksums(model) == self.checksums}
        )

    def _outside(self, name: str, values: Tensor) -> Tensor:
        rest = torch.ones(values.shape, dtype=torch.bool, device=values.device)
        for tensor, index in self.slices:
            if tensor == name:
                rest[... if index is None else index] = False
        return rest


def _changed(name: str, before: Tensor, after: Tensor) -> ChangedTensor:
    old, new = before.double(), after.double()
    norm, size = float((new - old).norm()), float(old.norm())
    return ChangedTensor(
        name=name,
        n_changed=_count(before, after),
        n_parameters=before.numel(),
        norm=norm,
        relative_norm=norm / size if size else norm,  # of a tensor of zeros, to 1
    )


def _count(before: Tensor, after: Tensor) -> int:
    return int((_bits(before) != _bits(after)).sum())


def _bits(values: Tensor) -> Tensor:
    """View a float tensor as integers, so that −0.0, 0.0 and NaN are told apart."""
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[values.element_size()]
    return values.contiguous().view(whole)

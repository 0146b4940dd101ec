"""The parts of tensors that a mask lets change, and their float32 masters.

A whole float32 tensor is trained in place. Of a slice (a head's rows or columns) and of a tensor
in half precision, a float32 master is kept and written back after each step: gradient and
optimizer state exist for the part alone, and nothing else of the tensor is ever written.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worker.contract.mask import Mask
from worker.core.models.components import component_parameters, component_slices
from worker.core.models.model import Model

Index = tuple[slice, ...] | None


@dataclass(frozen=True)
class Part:
    """One tensor, or one slice of it (`index`), and what the optimizer works on."""

    name: str
    tensor: nn.Parameter
    index: Index
    master: nn.Parameter

    @property
    def in_place(self) -> bool:
        """Is the master the tensor itself?"""
        return self.master is self.tensor

    def cut(self, values: Tensor) -> Tensor:
        """Cut this part out of a tensor of the same shape, as a view."""
        return values if self.index is None else values[self.index]


class Parts:
    """All parts of a mask; gradients flow into their masters inside `trainable`."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)

    @property
    def masters(self) -> list[nn.Parameter]:
        return [part.master for part in self.parts]

    @property
    def n_parameters(self) -> int:
        return sum(part.master.numel() for part in self.parts)

    def write(self) -> None:
        """Put the masters' values into the model."""
        with torch.no_grad():
            for part in self.parts:
                if not part.in_place:
                    part.cut(part.tensor).copy_(part.master)

    def copy(self, into: Sequence[Tensor] = ()) -> list[Tensor]:
        """Copy all values: a checkpoint; into an older one, where it is no longer wanted."""
        if not into:
            return [part.master.detach().clone() for part in self.parts]
        for part, value in zip(self.parts, into, strict=True):
            value.copy_(part.master.detach())
        return list(into)

    def load(self, values: Sequence[Tensor]) -> None:
        """Take the values of a checkpoint and write them into the model."""
        with torch.no_grad():
            for part, value in zip(self.parts, values, strict=True):
                part.master.copy_(value)
        self.write()

    @contextmanager
    def trainable(self, model: Model) -> Iterator[None]:
        """Ask for gradients of these parts alone; every parameter's wish is put back after."""
        wishes = [(p, p.requires_grad) for p in model.hf.parameters()]
        model.hf.requires_grad_(False)
        hooks = []
        for tensor in {id(part.tensor): part.tensor for part in self.parts}.values():
            tensor.requires_grad_(True)
            mine = [part for part in self.parts if part.tensor is tensor]
            if not mine[0].in_place:
                hooks.append(tensor.register_post_accumulate_grad_hook(_hand_over(mine)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for tensor, wish in wishes:
                tensor.grad = None
                tensor.requires_grad_(wish)
            for part in self.parts:
                part.master.grad = None


def _hand_over(parts: Sequence[Part]):  # type: ignore[no-untyped-def]
    def hand_over(tensor: Tensor) -> None:
        """Add a tensor's gradient to its parts' masters and drop it at once."""
        for part in parts:
            assert tensor.grad is not None, "a hook on its gradient has one"
            mine = part.cut(tensor.grad).float()
            part.master.grad = (
                mine.clone() if part.master.grad is None else part.master.grad.add_(mine)
            )
        tensor.grad = None

    return hand_over


def parts_of(model: Model, mask: Mask | None) -> Parts:
    """Make the parts of a mask's components; without a mask, of all components."""
    named = dict(model.hf.named_parameters())
    parts = []
    for name, index in slices_of(model, mask):
        tensor = named[name]
        whole = index is None and tensor.dtype == torch.float32
        values = tensor.detach() if index is None else tensor.detach()[index]
        master = tensor if whole else nn.Parameter(values.float().clone())
        parts.append(Part(name=name, tensor=tensor, index=index, master=master))
    return Parts(parts)


def count_of(model: Model, mask: Mask | None) -> int:
    """Count the parameters of `parts_of`, of which none is copied."""
    named = dict(model.hf.named_parameters())
    return sum(
        (named[name] if index is None else named[name].detach()[index]).numel()
        for name, index in slices_of(model, mask)
    )


def slices_of(model: Model, mask: Mask | None) -> list[tuple[str, Index]]:
    """List the tensors and slices of a mask, each once: grouped heads share keys and values."""
    found: dict[str, list[Index]] = {}
    for component in components_of(model, mask):
        for one in component_slices(model, component):
            found.setdefault(one.parameter, []).append(one.index)
    return [(name, i) for name, indices in found.items() for i in _distinct(name, indices)]


def components_of(model: Model, mask: Mask | None) -> tuple[str, ...]:
    """Name the mask's components; without a mask, every whole MLP and attention."""
    if mask is not None:
        return mask.components
    return tuple(name for name in component_parameters(model) if ".head." not in name)


def _distinct(name: str, indices: list[Index]) -> list[Index]:
    if any(index is None for index in indices):
        return [None]
    bounds = {tuple((s.start, s.stop) for s in index): index for index in indices if index}
    for one in bounds:
        for other in bounds:
            assert one == other or _apart(one, other), f"slices of {name} overlap: {one}, {other}"
    return list(bounds.values())


def _apart(one: tuple, other: tuple) -> bool:  # type: ignore[type-arg]
    return any(
        None not in (*a, *b) and (a[1] <= b[0] or b[1] <= a[0])
        for a, b in zip(one, other, strict=False)
    )

"""Change a model for a while: put edits on it, and put everything back bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import Tensor

from worker.contract.errors import UserError
from worker.core.models.delta_files import Delta, chain_of, values_in
from worker.core.models.digests import combine_digests, digest_values
from worker.core.models.model import Model
from worker.core.models.offloaded import is_offloaded, read_value, replace_value


class NotRestored(RuntimeError):
    """A parameter could not be put back; the model must be loaded anew."""


def checksum(model: Model) -> str:
    """Compute the hash of the parameters as they are now, in the dtype of the model."""
    return combine_digests(parameter_checksums(model))


def parameter_checksums(model: Model, full: bool = False) -> dict[str, str]:
    """Give every parameter's SHA-256 as it is now; `full` hashes also what cannot have changed."""
    return model.hashed.checksums(model.hf, full)


def state_checksum(model: Model, names: Iterable[str]) -> str:
    """Compute the model's hash with the parameters `names` as they are now, from their numbers.

    With the names that edits changed it is the hash after them, whatever the model's dtype.
    """
    parameters = dict(model.hf.named_parameters())
    now = {name: digest_values(read_value(model.hf, name, parameters[name])) for name in names}
    return combine_digests({**model.stored, **now})


@contextmanager
def restored(model: Model, names: Iterable[str] | None = None) -> Iterator[Mapping[str, Tensor]]:
    """Put back, bit for bit, whatever is changed inside; also after an exception.

    Keeps a copy of the parameters `names` (of all, when None), and gives it to be read; name what
    will be trained to spare memory. On leaving, every parameter's checksum is compared,
    `requires_grad`, gradients and training mode are as before. Raises NotRestored for a change
    outside `names`, and UserError for parameters that are kept elsewhere between forwards.
    """
    parameters = dict(model.hf.named_parameters())
    wanted = set(parameters if names is None else names)
    _refuse_offloaded(model, [name for name in wanted if is_offloaded(parameters[name])])
    before = parameter_checksums(model)
    saved = {name: parameters[name].detach().clone() for name in wanted}
    flags = {name: p.requires_grad for name, p in parameters.items()}
    modes = {name: module.training for name, module in model.hf.named_modules()}
    try:
        yield saved
    finally:
        now = dict(model.hf.named_parameters())
        if set(now) != set(before):
            raise NotRestored(f"parameters were added or removed: {sorted(set(now) ^ set(before))}")
        with torch.no_grad():
            for name, value in saved.items():
                now[name].copy_(value)
        for name, parameter in now.items():
            parameter.grad = None
            parameter.requires_grad_(flags[name])
        for name, module in model.hf.named_modules():
            module.training = modes.get(name, False)
        _verify(before, parameter_checksums(model))


@contextmanager
def noting_changes(model: Model) -> Iterator[None]:
    """Forget on leaving what `model.changed` was told inside."""
    before = model.changed
    model.changed = dict(before)
    try:
        yield
    finally:
        model.changed = before


@contextmanager
def edited(model: Model, paths: Sequence[Path]) -> Iterator[None]:
    """Apply delta files in order; restore the base on leaving.

    Raises UserError for a delta of another base, for one made on top of edits that are not applied,
    and for one whose numbers the model's dtype cannot write.
    """
    if not paths:
        yield
        return
    chain = chain_of(model, paths)
    parameters = dict(model.hf.named_parameters())
    here = {name for d in chain for name in d.values if not is_offloaded(parameters[name])}
    with ExitStack() as stack:
        stack.enter_context(noting_changes(model))
        stack.enter_context(restored(model, here))
        for delta in chain:
            for take_away in apply_delta(model, delta):
                stack.callback(take_away)
        chain.clear()  # what is in the model need not be held a second time
        yield


def apply_delta(model: Model, delta: Delta) -> list[Callable[[], None]]:
    """Write a delta's values into the model, and note what it changed.

    Values of parameters that are kept elsewhere between forwards are put before those kept there;
    what takes them away again is returned.
    """
    parameters = dict(model.hf.named_parameters())
    undo = []
    with torch.no_grad():
        for name, value in values_in(model, delta).items():
            if is_offloaded(parameters[name]):
                undo.append(replace_value(model.hf, name, value))
            else:
                parameters[name].copy_(value)
    model.changed |= delta.digests
    return undo


def _refuse_offloaded(model: Model, names: Sequence[str]) -> None:
    if names:
        raise UserError(
            f"{len(names)} parameters that would be changed, such as {min(names)!r}, are kept in "
            f"the CPU's memory or on disk, because {model.id!r} is too large for {model.device}; "
            f"only what the device holds can be trained or rounded. Choose components of blocks "
            f"that it holds, a smaller model, or a worker with a larger device.",
            field="model",
        )


def _verify(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        raise NotRestored(f"{len(changed)} parameters were not put back, first {changed[0]!r}")

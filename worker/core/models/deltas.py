"""What an edit changed: kept as a file, applied for a while, put back bit for bit.

A delta file is safetensors: the changed parameters' values after the edit, and in its metadata the
base's hash, and the hashes of the model before and after the edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from worker.contract.errors import UserError
from worker.core.models.model import Model, combine_digests, digest_parameters
from worker.core.models.offloaded import is_offloaded, replace_value

FORMAT = "lethe-delta-1"


@dataclass(frozen=True)
class Delta:
    """An edit: parameter name -> its values after the edit; only parameters that changed."""

    values: dict[str, Tensor]
    model: str
    base_hash: str
    before_hash: str
    after_hash: str


class NotRestored(RuntimeError):
    """A parameter could not be put back; the model must be loaded anew."""


def checksum(model: Model) -> str:
    """Compute the hash of the weights as they are now: `weights_hash` on an unedited base."""
    return combine_digests(parameter_checksums(model))


def parameter_checksums(model: Model) -> dict[str, str]:
    """Compute every parameter's SHA-256 as it is now."""
    return digest_parameters(model.hf)


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
def edited(model: Model, paths: Sequence[Path]) -> Iterator[None]:
    """Apply delta files in order; restore the base on leaving.

    Raises UserError for a delta of another base, or one made on top of edits that are not applied.
    """
    deltas = [read_delta(path) for path in paths]
    with ExitStack() as stack:
        if deltas:
            parameters = dict(model.hf.named_parameters())
            changed = {n for delta in deltas for n in delta.values if n in parameters}
            here = {name for name in changed if not is_offloaded(parameters[name])}
            stack.enter_context(restored(model, here))
        digests = dict(model.digests)
        for path, delta in zip(paths, deltas, strict=True):
            _check_fits(model, path, delta, combine_digests(digests))
            for take_away in apply_delta(model, delta):
                stack.callback(take_away)
            digests |= digest_parameters(model.hf, set(delta.values))
            if combine_digests(digests) != delta.after_hash:
                raise UserError(
                    f"The delta {Path(path).name} gives other weights than were measured when it "
                    f"was made; expected hash {delta.after_hash[:12]}. Load the model in "
                    f"{delta.model!r}'s own dtype, or repeat the edit.",
                    field="model.edits",
                )
        yield


def apply_delta(model: Model, delta: Delta) -> list[Callable[[], None]]:
    """Write a delta's values into the model.

    Values of parameters that are kept elsewhere between forwards are put before those kept there;
    what takes them away again is returned.
    """
    parameters = dict(model.hf.named_parameters())
    undo = []
    with torch.no_grad():
        for name, value in delta.values.items():
            if is_offloaded(parameters[name]):
                undo.append(replace_value(model.hf, name, value))
            else:
                parameters[name].copy_(value)
    return undo


def save_delta(
    path: Path,
    values: Mapping[str, Tensor],
    *,
    model: Model,
    before_hash: str,
    after_hash: str,
) -> None:
    """Write an edit: `values` are the changed parameters after the edit."""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in values.items()}
    metadata = {
        "format": FORMAT,
        "model": model.id,
        "base_hash": model.weights_hash,
        "before_hash": before_hash,
        "after_hash": after_hash,
    }
    save_file(tensors, path, metadata=metadata)


def read_delta(path: Path) -> Delta:
    """Read a delta file."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"The delta {Path(path).name} cannot be read ({error}); expected a safetensors file "
            f"written by an unlearn run.",
            field="model.edits",
        ) from None
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{Path(path).name} is no delta (format {metadata.get('format')!r}); expected "
            f"{FORMAT!r}, as an unlearn run writes it.",
            field="model.edits",
        )
    hashes = {key: metadata[key] for key in ("model", "base_hash", "before_hash", "after_hash")}
    return Delta(values=values, **hashes)


def _check_fits(model: Model, path: Path, delta: Delta, current_hash: str) -> None:
    if delta.base_hash != model.weights_hash:
        raise UserError(
            f"The delta {Path(path).name} was made on {delta.model!r} with weights "
            f"{delta.base_hash[:12]}; this is {model.id!r} with {model.weights_hash[:12]}. Choose "
            f"the base that it was made on.",
            field="model.edits",
        )
    if delta.before_hash != current_hash:
        raise UserError(
            f"The delta {Path(path).name} was made on top of other edits (weights "
            f"{delta.before_hash[:12]}, here {current_hash[:12]}). List the edits in the order in "
            f"which they were made.",
            field="model.edits",
        )


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

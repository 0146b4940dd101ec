"""Edits as files: the values of the parameters that they changed, and what they were made on.

A delta file is safetensors. Its metadata has the hash of the stored weights of its base, the dtype
in which the edit was made, and the model's hash with the edits under it and with this one: the
stored tensors' checksums, with those of the changed parameters' numbers, which are the same in
every dtype that can write them.

Files of the first format have hashes over the loaded parameters instead; `chain_of` holds them
against the model as it would have been loaded, and gives them today's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from worker.contract.errors import UserError
from worker.core.finite import require_finite
from worker.core.models.digests import combine_digests, digest, digest_values
from worker.core.models.model import Model
from worker.core.models.offloaded import read_value

FORMAT, FIRST = "lethe-delta-2", "lethe-delta-1"


@dataclass(frozen=True)
class Delta:
    """An edit: parameter name -> its values after the edit; only parameters that changed."""

    values: dict[str, Tensor]
    file: str
    model: str
    dtype: torch.dtype
    """In which it was made."""
    base_hash: str
    before_hash: str
    after_hash: str
    format: str = FORMAT

    @property
    def digests(self) -> dict[str, str]:
        """Checksums of its numbers."""
        return {name: digest_values(value) for name, value in self.values.items()}


def save_delta(
    path: Path,
    values: Mapping[str, Tensor],
    *,
    model: Model,
    before_hash: str,
    after_hash: str,
) -> None:
    """Write an edit: `values` are the changed parameters after the edit, all of them numbers."""
    for name, value in values.items():
        require_finite(value, f"The edit cannot be kept: its {name}")
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in values.items()}
    metadata = {
        "format": FORMAT,
        "model": model.id,
        "dtype": str(model.dtype).removeprefix("torch."),
        "base_hash": model.weights_hash,
        "before_hash": before_hash,
        "after_hash": after_hash,
    }
    save_file(tensors, path, metadata=metadata)


def read_delta(path: Path) -> Delta:
    """Read a delta file; raise UserError for what is none, and for values that are no numbers."""
    name = Path(path).name
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"The delta {name} cannot be read ({error}); expected a safetensors file written by "
            f"an unlearn run.",
            field="model.edits",
        ) from None
    if metadata.get("format") not in (FORMAT, FIRST):
        raise UserError(
            f"{name} is no delta (format {metadata.get('format')!r}); expected {FORMAT!r}, as an "
            f"unlearn run writes it.",
            field="model.edits",
        )
    for parameter, value in values.items():
        require_finite(
            value,
            f"The delta {name} cannot be put on: its {parameter}",
            "Make the edit again, or leave it out of the stack.",
        )
    made_in = metadata.get("dtype") or str(next(iter(values.values())).dtype)
    keys = ("model", "base_hash", "before_hash", "after_hash", "format")
    return Delta(
        values=values,
        file=name,
        dtype=getattr(torch, made_in.removeprefix("torch.")),
        **{key: metadata[key] for key in keys},
    )


def chain_of(model: Model, paths: Sequence[Path]) -> list[Delta]:
    """Read edits that lie on the model's base one on the other, lowest first.

    Raises UserError for a delta of other weights, and one made on top of edits that are not under
    it.
    """
    chain: list[Delta] = []
    changed: dict[str, str] = {}
    for path in paths:
        delta = read_delta(path)
        if delta.format == FIRST:
            delta = _in_todays_format(model, delta, chain)
        _check_base(model, delta)
        before = combine_digests({**model.stored, **changed})
        if delta.before_hash != before:
            raise UserError(
                f"The delta {delta.file} was made on top of other edits (weights "
                f"{delta.before_hash[:12]}, here {before[:12]}). List the edits in the order in "
                f"which they were made.",
                field="model.edits",
            )
        changed |= delta.digests
        if combine_digests({**model.stored, **changed}) != delta.after_hash:
            raise UserError(
                f"The delta {delta.file} is damaged: its values are not those that the run wrote "
                f"(hash {delta.after_hash[:12]} expected). Take the file anew from the run, or "
                f"repeat the edit.",
                field="model.edits",
            )
        chain.append(delta)
    return chain


def values_in(model: Model, delta: Delta) -> dict[str, Tensor]:
    """Give an edit's values in the dtypes of the model's parameters.

    Raises UserError where a number cannot be written in them.
    """
    found = {}
    parameters = dict(model.hf.named_parameters())
    for name, value in delta.values.items():
        dtype = parameters[name].dtype
        written = value.to(dtype)
        lost = int((written.to(value.dtype) != value).sum())
        if lost:
            made, here = (str(one).removeprefix("torch.") for one in (delta.dtype, dtype))
            raise UserError(
                f"The edit {delta.file} was made in {made}, and {model.id!r} is loaded in {here}, "
                f"which cannot write {lost:,} of the {value.numel():,} numbers that it gives "
                f"{name}. Ask for the dtype {made}.",
                field="dtype",
            )
        found[name] = written
    return found


def _check_base(model: Model, delta: Delta) -> None:
    if delta.base_hash != model.weights_hash:
        whose = "other weights" if delta.model == model.id else "the weights"
        raise UserError(
            f"The delta {delta.file} was made on {whose} of {delta.model!r} (hash "
            f"{delta.base_hash[:12]}); those of {model.id!r} here have {model.weights_hash[:12]}. "
            f"Choose the base that it was made on.",
            field="model.edits",
        )


def _in_todays_format(model: Model, delta: Delta, below: Sequence[Delta]) -> Delta:
    """Give a delta of the first format today's hashes, if its own are those of this model."""
    as_stored = delta.base_hash == model.weights_hash
    own = model.stored if as_stored else _as_loaded_in(model, delta.dtype)
    if own is None or combine_digests(own) != delta.base_hash:
        return delta
    changed: dict[str, str] = {}
    for one in below:
        changed |= {name: digest(value) for name, value in one.values.items()}
    before = combine_digests({**own, **changed})
    changed |= {name: digest(value) for name, value in delta.values.items()}
    after = combine_digests({**own, **changed})
    numbers = {name: text for one in below for name, text in one.digests.items()}
    under = combine_digests({**model.stored, **numbers})
    over = combine_digests({**model.stored, **numbers, **delta.digests})
    return replace(
        delta,
        base_hash=model.weights_hash,
        before_hash=under if delta.before_hash == before else delta.before_hash,
        after_hash=over if delta.after_hash == after else delta.after_hash,
    )


def _as_loaded_in(model: Model, dtype: torch.dtype) -> Mapping[str, str] | None:
    """Compute the parameters' checksums as if loaded in `dtype`; None where they cannot be had."""
    if dtype == model.dtype:
        return model.digests
    if torch.finfo(dtype).bits <= torch.finfo(model.dtype).bits or model.changed:
        return None
    return {
        name: digest(read_value(model.hf, name, parameter).to(dtype))
        for name, parameter in model.hf.named_parameters()
    }

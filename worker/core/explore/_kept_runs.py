"""Prompts' own runs, kept for a while: the views of one subject all begin with them.

A run is kept with its model, under the state of the weights and what was run, up to a bound in
bytes. Of a short prompt every site is kept, so that each view finds its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast
from weakref import WeakKeyDictionary

from worker.core.kept import Kept
from worker.core.models.base_run import BaseRun
from worker.core.models.model import Model
from worker.core.models.sites import Site

BOUND = 128 * 2**20
"""Bytes per model: on a model of 135 million parameters some five pairs of 30 tokens."""
SHORT = 256
"""Rows times positions up to which all sites are kept."""
ALL: tuple[Site, ...] = ("attn", "mlp", "attn_write", "mlp_write", "z")
_kept: WeakKeyDictionary[Model, Kept] = WeakKeyDictionary()


@dataclass(frozen=True)
class _Parts:
    """A run without its model, which would otherwise never be let go."""

    values: dict[str, Any]


def kept_run(
    model: Model,
    of: tuple[object, ...],
    n_tokens: int,
    sites: Sequence[Site],
    make: Callable[[Sequence[Site]], BaseRun],
) -> BaseRun:
    """Give the run of what `of` names with at least `sites`, kept or made."""
    runs = _kept.setdefault(model, Kept(BOUND))
    key = (model.state_hash, str(model.device), model.dtype, *of)
    found = cast(_Parts | None, runs.get(key))
    if found is not None and set(sites) <= found.values["sites"].keys():
        return BaseRun(model=model, **found.values)
    run = make(ALL if n_tokens <= SHORT else sites)
    names = [field.name for field in fields(run) if field.name != "model"]
    runs.keep(key, _Parts({name: getattr(run, name) for name in names}))
    return run

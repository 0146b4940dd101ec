"""The memory that is told of runs on the real model, beside what they are then seen to take.

In a process of their own: what other tests freed lies in pieces, into which the C library fits the
next run's tensors more or less well (seen: ROME .74 GB, behind six verdicts .84).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch

from worker.contract.inputs import Inputs
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.spec import parse_spec
from worker.core.ahead.preflight import preflight
from worker.core.facts.continents import fact_set
from worker.core.models.cache import ModelCache
from worker.core.models.components import component_parameters
from worker.run import run

ONE_STEP = {"learning_rate": 1e-4, "steps": 1, "keep": "last", "retain_floor": 0.0}


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a process's peak"
    ),
]


Alone = Callable[[Path, dict[str, Any], Sequence[str]], tuple[int, int]]
"""Folder, spec and masked components -> bytes told of a run on eight facts, and its peak."""
models = ModelCache()
"""Of the process that is measured."""


@pytest.fixture(scope="module")
def alone(real_root: Path) -> Iterator[Alone]:
    with ProcessPoolExecutor(
        1, get_context("spawn"), initializer=begin, initargs=(real_root,)
    ) as one:
        yield lambda *asked: one.submit(told_and_used, *asked).result()


@pytest.mark.parametrize(
    ("method", "options", "lowest"),
    [("npo", ONE_STEP, 24), ("rome", {"value_steps": 2}, 2)],
)
def test_an_edit_takes_what_was_said_to_within_a_fifth(
    alone: Alone, tmp_path: Path, method: str, options: dict[str, Any], lowest: int
) -> None:
    names = tuple(f"blocks.{layer}.mlp" for layer in range(lowest, lowest + 3))
    spec = {"kind": "unlearn", "mask": {"components": names}, "method": method, "options": options}
    told, used = alone(tmp_path, spec, names)
    assert 0.8 < told / used < 1.2, f"{told / 1e9:.3g} GB told, {used / 1e9:.3g} GB used"


@pytest.mark.parametrize("method", ["direct_logit_attribution", "logit_lens", "eap"])
def test_a_localization_takes_what_was_said_to_within_a_fifth(
    alone: Alone, tmp_path: Path, method: str
) -> None:
    told, used = alone(tmp_path, {"kind": "localize", "method": method}, ())
    assert 0.8 < told / used < 1.2, f"{told / 1e9:.3g} GB told, {used / 1e9:.3g} GB used"


def begin(root: Path) -> None:
    """Load the real model in the process that is measured."""
    torch.set_num_threads(1)
    models.roots = (root,)
    models.get("smollm2")


def told_and_used(folder: Path, spec: dict[str, Any], masked: Sequence[str]) -> tuple[int, int]:
    model = models.get("smollm2")
    asked = {"set": "continents", "forget": "first:8", "known": {"probability": 0}}
    run_spec = parse_spec({**spec, "model": model.id, "facts": asked})
    mask = None
    if masked:
        counts = component_parameters(model)
        mask = Mask(components=masked, n_parameters=sum(map(counts.__getitem__, masked)))
    inputs = Inputs(out=str(folder), fact_set=fact_set(), mask=mask)
    told = preflight(run_spec, inputs, model, brief=True).memory_bytes
    assert told is not None
    return told, run(run_spec, inputs, Quiet(), models).peak_memory_bytes

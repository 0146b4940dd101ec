"""The cache over many loads and runs: within its bound at every moment, and nothing leaks."""

import gc
import weakref
from pathlib import Path

import psutil
import pytest
import torch

from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import Inputs
from worker.contract.progress import Quiet
from worker.contract.spec import parse_spec
from worker.core.models import cache as cache_module
from worker.core.models.cache import ModelCache
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.run import run

FACTS = FactSet(
    name="games",
    facts=(Fact(id="a", subject="Ann Lee", prompt="{} plays", target="golf", edit_target="chess"),),
)
N_ROUNDS = 200
WARM = 40


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for number in range(3):
        model = make_model("llama", seed=number)
        model.hf.save_pretrained(root / f"m{number}")
        model.tokenizer.save_pretrained(root / f"m{number}")
    return root


def compute(number: int, out: Path, models: ModelCache) -> None:
    spec = {
        "kind": "localize",
        "model": f"m{number}",
        "facts": {"set": "games", "forget": "first:1"},
        "method": "direct_logit_attribution",
        "options": {"min_probability": 0.0},
    }
    run(parse_spec(spec), Inputs(out=str(out), fact_set=FACTS), Quiet(), models)


@pytest.mark.slow
def test_two_hundred_alternating_loads_and_runs_leak_nothing_and_stay_within_the_bound(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {}
    for number in range(3):
        models = ModelCache(roots=[root])
        models.get(f"m{number}")
        sizes[number] = models.size
    bound = max(sizes.values()) * 2 + 1000
    assert bound < sum(sizes.values())
    born: list[weakref.ref[Model]] = []
    loads = 0

    def load(id: str, **given: object) -> Model:
        nonlocal loads
        loads += 1
        alive = sum(bytes_of(model) for ref in born if (model := ref()) is not None)
        assert alive <= bound - sizes[int(id[1:])], "there was no room before the load"
        model = load_model(id, **given)
        born.append(weakref.ref(model))
        return model

    monkeypatch.setattr(cache_module, "load_model", load)
    models = ModelCache(roots=[root], max_bytes=bound)
    process, early = psutil.Process(), (0, 0)
    for turn in range(N_ROUNDS):
        compute(turn % 3, tmp_path / "out", models)
        assert models.size <= bound and models.held[-1] == f"m{turn % 3}"
        if turn in (WARM, N_ROUNDS - 1):
            gc.collect()
            late = (count_tensors(), process.memory_info().rss)
            early = late if turn == WARM else early
    assert loads == N_ROUNDS, "three models and room for two: every turn loads anew"
    assert sum(ref() is not None for ref in born) == len(models.held)
    assert late[0] <= early[0] + 20, "tensors are left behind"
    # Of every tokenizer that has read text, its library keeps about a quarter of a megabyte.
    assert late[1] - early[1] < 30e6 + 0.25e6 * (N_ROUNDS - WARM), (
        f"{(late[1] - early[1]) / 1e6:.1f} MB more"
    )
    models.clear()
    gc.collect()
    assert all(ref() is None for ref in born)


def bytes_of(model: Model) -> int:
    return sum(p.numel() * p.element_size() for p in model.hf.parameters())


def count_tensors() -> int:
    # By type: `isinstance` would ask proxies of other libraries for a class, which they warn of.
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())


def test_a_model_larger_than_the_device_is_refused_before_it_is_loaded(root: Path) -> None:
    models = ModelCache(roots=[root])
    models.memory = 1000
    with pytest.raises(UserError, match="weights alone") as refused:
        models.get("m0")
    assert refused.value.problems[0][0] == "model"
    assert models.held == ()


def test_without_a_bound_the_cache_takes_a_share_of_the_devices_memory() -> None:
    models = ModelCache()
    assert models.max_bytes == int(cache_module.SHARE * psutil.virtual_memory().total)

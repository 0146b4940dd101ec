"""How often weights are hashed: all of them once, and then only what was written to."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.worker.core.models.test_stored_values import save
from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.findings import Job
from worker.core.models import hashed
from worker.core.models.cache import ModelCache
from worker.core.models.deltas import NotRestored, parameter_checksums, restored
from worker.core.models.digests import digest
from worker.core.models.model import Model
from worker.core.registry import method
from worker.core.training.attack import fine_tune
from worker.core.training.pool import text_rows

INSIDE = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def loaded(tmp_path: Path) -> tuple[ModelCache, Model]:
    save(tmp_path)
    models = ModelCache(roots=[tmp_path], device="cpu")
    return models, models.get("llama")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the parameters that were hashed."""
    seen: list[tuple[int, ...]] = []

    def count(tensor: torch.Tensor) -> str:
        seen.append(tuple(tensor.shape))
        return digest(tensor)

    monkeypatch.setattr(hashed, "digest", count)
    return seen


def test_a_run_that_writes_nothing_hashes_nothing(
    loaded: tuple[ModelCache, Model], counted: list[tuple[int, ...]]
) -> None:
    models, model = loaded
    with torch.no_grad():
        model.hf(input_ids=torch.tensor([[1, 2, 3]]))
    assert models.verify("llama")
    assert counted == []
    assert models.verify("llama", full=True)
    assert len(counted) == len(list(model.hf.parameters())), "the check that a setting asks for"


def test_an_edit_hashes_only_the_tensors_that_it_wrote(
    loaded: tuple[ModelCache, Model], counted: list[tuple[int, ...]], facts: tuple[Fact, ...]
) -> None:
    models, model = loaded
    named = dict(model.hf.named_parameters())
    inside = [n for n in named if n.startswith("model.layers.1.mlp.")]
    mask = Mask(
        components=("blocks.1.mlp",), n_parameters=sum(named[name].numel() for name in inside)
    )
    found = method("unlearning", "localized_finetuning")
    options = found.options.model_validate({"steps": 2, "keep": "last", "retain_floor": 0.0})
    chosen = Selection(forget=facts[:2], retain=facts[2:])
    done = found.function(model, chosen, mask, options, Job(seed=0, report=Quiet()))
    assert done.receipt is not None and done.receipt.outside_unchanged
    assert models.verify("llama")
    assert 0 < len(counted) <= 4 * len(inside)
    assert set(counted) <= {tuple(named[name].shape) for name in inside}
    full = {name: digest(value.detach()) for name, value in named.items()}
    assert parameter_checksums(model) == full


@pytest.mark.parametrize(
    "write",
    [
        lambda weight: weight.add_(1.0),
        lambda weight: weight.copy_(torch.zeros_like(weight)),
        lambda weight: weight[0].mul_(2.0),
        lambda weight: torch.nn.init.ones_(weight),
    ],
)
def test_a_write_outside_the_named_parameters_is_seen(
    loaded: tuple[ModelCache, Model], write: Callable[[torch.Tensor], object]
) -> None:
    _, model = loaded
    with pytest.raises(NotRestored, match="up_proj"), restored(model, []), torch.no_grad():
        write(dict(model.hf.named_parameters())[INSIDE])


def test_another_parameter_in_its_place_is_seen(loaded: tuple[ModelCache, Model]) -> None:
    models, model = loaded
    module = model.hf.get_submodule(INSIDE.removesuffix(".weight"))
    module.weight = torch.nn.Parameter(module.weight.detach().clone() + 1)
    assert not models.verify("llama")


def test_a_write_past_torch_is_found_by_a_full_pass(loaded: tuple[ModelCache, Model]) -> None:
    models, model = loaded
    dict(model.hf.named_parameters())[INSIDE].detach().numpy()[0, 0] += 1.0
    assert models.verify("llama"), "no count tells of it"
    assert not models.verify("llama", full=True)


def test_what_an_attack_trains_is_hashed_anew_though_its_kernel_counts_nothing(
    loaded: tuple[ModelCache, Model],
) -> None:
    model = loaded[1]
    before = parameter_checksums(model)
    rows = text_rows(model, ["Ann plays golf and Bob plays golf."], 16)
    with restored(model):
        parameter = model.hf.get_parameter(INSIDE).requires_grad_(True)
        fine_tune(
            model, [parameter], [[(rows, 1)]], steps=2, learning_rate=0.01, seed=0,
            each_step=lambda step: None,
        )  # fmt: skip
        during = parameter_checksums(model)
        assert [name for name in before if during[name] != before[name]] == [INSIDE]
        assert during == parameter_checksums(model, full=True)
    assert parameter_checksums(model, full=True) == before

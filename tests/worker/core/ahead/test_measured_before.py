"""What is kept of a base is known to a process that never ran the model, and no more than that."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
import transformers as hf

from tests.worker.core.measured import forget_all
from tests.worker.core.models.families import make_tokenizer
from tests.worker.core.test_every_method import FACTS, MASK, SIZES, spec_of, teach
from worker.contract.inputs import Inputs
from worker.contract.progress import Quiet
from worker.contract.spec import Spec, parse_spec
from worker.core.ahead import measured_before
from worker.core.ahead.estimate import estimate_parts
from worker.core.asking import continuations
from worker.core.asking.kept import known_elsewhere
from worker.core.models.cache import ModelCache
from worker.core.models.model import Model
from worker.run import kept, run

CHANGED = FACTS.facts[:4]


@pytest.fixture(scope="module")
def models() -> Iterator[ModelCache]:
    """A small model that was taught the facts."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuations, "NEW_TOKENS", 3)
        forget_all()
        torch.manual_seed(0)
        made = hf.AutoModelForCausalLM.from_config(hf.LlamaConfig(**SIZES)).float()
        teach(Model("tiny", made, make_tokenizer()))
        made.save_pretrained(Path(folder) / "tiny")
        make_tokenizer().save_pretrained(Path(folder) / "tiny")
        yield ModelCache(roots=[Path(folder)])


def edit(models: ModelCache, method: str = "ft_l") -> tuple[Spec, Inputs, str]:
    """An edit, computed; and its delta."""
    out = models.roots[0] / method
    spec = parse_spec(spec_of("unlearning", method, "tiny"))
    inputs = Inputs(out=str(out), fact_set=FACTS, mask=MASK)
    run(spec, inputs, Quiet(), models)
    return spec, inputs, str(out / "delta.safetensors")


def evaluation(name: str, delta: str, models: ModelCache) -> tuple[Spec, Inputs]:
    spec = parse_spec(spec_of("evaluation", name, "tiny", "", "below"))
    out = str(models.roots[0] / name)
    Path(out).mkdir(exist_ok=True)
    return spec, Inputs(out=out, fact_set=FACTS, mask=MASK, deltas=(delta,), edited=(CHANGED,))


def looked_at(
    spec: Spec, inputs: Inputs, models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, Any, Any]:
    """What is estimated where the run would be computed, by another process that was told what is
    kept there, and by one that was told that nothing is."""
    there, told = estimate_parts(spec, inputs, models.get("tiny")), kept(models)
    monkeypatch.setattr(measured_before, "kept_value", lambda key: None)
    sizes = ModelCache(roots=models.roots).sizes("tiny", told=told.weights)
    assert next(sizes.hf.parameters()).is_meta
    with known_elsewhere(told.keys):
        here = estimate_parts(spec, inputs, sizes)
    with known_elsewhere(()):
        alone = estimate_parts(spec, inputs, models.get("tiny"))
    return there, here, alone


@pytest.mark.parametrize(
    "name", ["knowledge", "side_effects", "quantization", "paraphrase", "latent_probes"]
)
def test_another_process_is_told_that_a_base_was_measured(
    name: str, models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, inputs = evaluation(name, edit(models)[2], models)
    run(spec, inputs, Quiet(), models)
    there, here, alone = looked_at(spec, inputs, models, monkeypatch)
    assert here == there
    assert here[0].seconds < here[0].unspared == alone[0].seconds
    assert alone[0].unspared is None, "what is kept here helps no run there"


@pytest.mark.parametrize("name", ["faithfulness", "interference"])
def test_what_measures_no_base_is_told_alike(
    name: str, models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, inputs = evaluation(name, edit(models)[2], models)
    there, here, alone = looked_at(spec, inputs, models, monkeypatch)
    assert here == there == alone and here[0].unspared is None


@pytest.mark.parametrize("method", ["ft_l", "memit"])
def test_an_edits_continuations_and_second_moments_are_told(
    method: str, models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, inputs, _ = edit(models, method)
    there, here, alone = looked_at(spec, inputs, models, monkeypatch)
    assert here == there and here[0].seconds < alone[0].seconds

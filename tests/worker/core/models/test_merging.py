"""`lethe model add ADAPTER --onto MODEL`: an adapter becomes a model of its own, and is named."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.worker.core.models.brought import bring, cut
from tests.worker.core.models.families import make_model
from tests.worker.core.models.test_abilities import FACTS, MASK, spec_of
from worker.contract.errors import UserError
from worker.contract.inputs import Inputs
from worker.contract.progress import Quiet
from worker.contract.spec import parse_spec
from worker.core.models.cache import ModelCache
from worker.core.models.describe import describe_model
from worker.core.models.merging import add_adapter
from worker.run import run

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
IDS = torch.tensor([[0, 5, 9, 33]])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return bring(tmp_path / "brought/base")


def save_adapter(base: Path, folder: Path, config: object = None) -> Path:
    """Save an adapter of random weights for the base."""
    torch.manual_seed(1)
    config = config or LoraConfig(r=4, task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"])
    hf = AutoModelForCausalLM.from_pretrained(base)
    wrapped = get_peft_model(hf, config)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora" in name or "prompt" in name:
                parameter.normal_(std=0.2)
    wrapped.save_pretrained(folder)
    return folder


def test_a_merged_adapter_answers_as_peft_does_and_is_named_in_provenance(
    base: Path, tmp_path: Path
) -> None:
    adapter = save_adapter(base, tmp_path / "lora")
    plain = AutoModelForCausalLM.from_pretrained(base)
    without = plain(IDS).logits.detach()
    expected = PeftModel.from_pretrained(plain, str(adapter)).eval()(IDS).logits.detach()
    root = tmp_path / "models"
    info = add_adapter(adapter, "base", root, (base.parent,), "mine")
    assert not info.problem and info.id == "mine" and "LORA adapter 'lora'" in info.note
    models = ModelCache(roots=[root])
    own = models.get("mine").hf(IDS).logits
    # Adding the products to the weights rounds otherwise than computing beside them.
    torch.testing.assert_close(own, expected, atol=1e-4, rtol=1e-4)
    assert (own - without).abs().max() > 0.01
    # Every result on it says what it is made of.
    spec = parse_spec(spec_of("localized_finetuning", "mine") | {"options": {"steps": 1}})
    inputs = Inputs(out=str(tmp_path / "edit"), fact_set=FACTS, mask=MASK)
    result = run(spec, inputs, Quiet(), models)
    assert result.provenance.model_note == info.note
    assert make_model("llama").weights_hash[:16] in info.note


def test_an_adapter_that_does_not_fit_is_refused_and_leaves_nothing(
    base: Path, tmp_path: Path
) -> None:
    root, roots = tmp_path / "models", (base.parent,)
    adapter = save_adapter(base, tmp_path / "lora")
    bring(base.parent / "other", "gpt2")
    with pytest.raises(UserError, match="cannot be put on 'other'"):
        add_adapter(adapter, "other", root, roots)
    with pytest.raises(UserError, match="No model 'none'"):
        add_adapter(adapter, "none", root, roots)
    with pytest.raises(UserError, match="holds no adapter"):
        add_adapter(base, "base", root, roots)
    tensors = load_file(adapter / "adapter_model.safetensors")
    name = sorted(tensors)[0]
    save_file(tensors | {"stray.weight": torch.zeros(1)}, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match=r"no place for stray\.weight"):
        add_adapter(adapter, "base", root, roots)
    save_file(
        {k: v for k, v in tensors.items() if k != name}, adapter / "adapter_model.safetensors"
    )
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        add_adapter(adapter, "base", root, roots)
    wrong = tensors | {name: tensors[name][:2].clone()}
    save_file(wrong, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="cannot be put on 'base'"):
        add_adapter(adapter, "base", root, roots)
    save_file(tensors | {name: tensors[name] * float("nan")}, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="cannot be put on 'base'"):
        add_adapter(adapter, "base", root, roots)
    save_file(tensors, adapter / "adapter_model.safetensors")
    cut(adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="cannot be put on 'base'"):
        add_adapter(adapter, "base", root, roots)
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "NO_SUCH"}))
    with pytest.raises(UserError):
        add_adapter(adapter, "base", root, roots)
    prompts = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(UserError, match="adds no weights"):
        add_adapter(save_adapter(base, tmp_path / "p", prompts), "base", root, roots)
    assert not [path for path in root.iterdir() if not path.name.startswith(".")]


def test_an_adapter_beside_its_model_is_merged_onto_another_copy(
    base: Path, tmp_path: Path
) -> None:
    both = save_adapter(base, bring(tmp_path / "brought/both"))
    assert "beside it a LoRA adapter" in describe_model("both", both).problem
    info = add_adapter(both, str(base), tmp_path / "models")
    assert info.id == "both-merged" and not info.problem

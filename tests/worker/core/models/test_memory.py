"""What is said of a model's memory before it is loaded, against what is then used."""

from pathlib import Path

import pytest
import torch
import transformers as hf

from tests.worker.core.models.families import make_tokenizer
from worker.core.models.describe import describe_model
from worker.core.models.load import load_model

SIZES = {"small": (256, 4, 1000), "wide": (512, 6, 4000), "large": (640, 12, 16000)}
"""Width, layers and vocabulary."""


def save(folder: Path, width: int, layers: int, vocabulary: int, dtype: torch.dtype) -> None:
    config = hf.LlamaConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        vocab_size=vocabulary,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    hf.AutoModelForCausalLM.from_config(config).to(dtype).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    save(root / "tiny", 64, 2, 400, torch.float32)
    for name, (width, layers, vocabulary) in SIZES.items():
        save(root / name, width, layers, vocabulary, torch.float32)
    save(root / "half", 256, 4, 1000, torch.bfloat16)
    return root


@pytest.mark.parametrize("name", ["tiny", *SIZES, "half"])
def test_the_weights_memory_is_known_before_they_are_read(root: Path, name: str) -> None:
    said = describe_model(name, root / name).memory_bytes["load"]
    model = load_model(name, roots=[root])
    used = sum(p.numel() * p.element_size() for p in model.hf.parameters())
    assert said == used, "half precision is widened on a CPU, and the estimate says so"


def test_on_a_gpu_half_precision_stays_half(root: Path) -> None:
    on_cpu = describe_model("half", root / "half").memory_bytes["load"]
    on_gpu = describe_model("half", root / "half", "cuda").memory_bytes["load"]
    context = on_gpu - on_cpu // 2
    assert 0 < context < 2**30, "half the weights, and the device's own context"

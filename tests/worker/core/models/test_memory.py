"""What is said of a model's memory before it is loaded, against what is then used.

Jobs are measured by `measure_memory.py` in a process of their own, on models whose weights are
large enough that the process's own ups and downs are small beside them.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers as hf

from tests.worker.core.models.families import make_tokenizer
from worker.core.demo.paths import WEIGHTS
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


SHAPES = {
    "llama": hf.LlamaConfig(
        hidden_size=256, intermediate_size=1024, num_hidden_layers=3, num_attention_heads=4,
        vocab_size=32_000, max_position_embeddings=128, bos_token_id=0, eos_token_id=1,
    ),
    "gpt2": hf.GPT2Config(
        n_embd=384, n_layer=3, n_head=6, vocab_size=24_000, n_positions=128, bos_token_id=0,
        eos_token_id=1,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with the bundled tokenizer, whose tokens are words as a user's are."""
    root = tmp_path_factory.mktemp("large")
    save(root / "first", 64, 2, 1_600, torch.float32)
    for name, config in SHAPES.items():
        torch.manual_seed(0)
        hf.AutoModelForCausalLM.from_config(config).save_pretrained(root / name)
    for name in ("first", *SHAPES):
        for file in WEIGHTS.glob("tokenizer*"):
            shutil.copy(file, root / name)
    return root


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(),
    reason="only Linux forgets a peak: localize, unlearn and evaluate would be within a fifth",
)
def test_every_kind_of_job_takes_what_was_said_to_within_a_fifth(
    large: Path, tmp_path: Path
) -> None:
    asked = [str(large), str(tmp_path), "first", *SHAPES]
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.core.models.measure_memory", *asked],
        capture_output=True,
        text=True,
        timeout=300,
        # One arena, and freed blocks given back: what is measured is the job, not the allocator.
        env={**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "0"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    measured = json.loads(done.stdout.splitlines()[-1])
    for name in SHAPES:
        said = describe_model(name, large / name).memory_bytes
        assert set(measured[name]) == {"load", "localize", "unlearn", "evaluate"}
        shares = {kind: said[kind] / used for kind, used in measured[name].items()}
        assert all(0.8 <= share <= 1.2 for share in shares.values()), (name, shares)

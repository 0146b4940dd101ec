"""An edited real model leaves: plain transformers answers the same, and its delta fits again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from worker.contract.facts import Fact
from worker.core.export import export_folder
from worker.core.models.delta_files import save_delta
from worker.core.models.deltas import checksum, edited, restored
from worker.core.models.model import Model

NAMES = ("model.layers.9.mlp.down_proj.weight", "model.layers.10.mlp.down_proj.weight")
FACT = Fact(id="k", subject="Kenya", prompt="{} is in the continent of", target="Africa")
PROMPTS = ("Kenya is in the continent of", "The capital of Italy is", "Two and two are")
PLAIN = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, prompts = sys.argv[1], json.loads(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
tokenizer = AutoTokenizer.from_pretrained(folder)
for prompt in prompts:
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    found = model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    print(json.dumps(found[0].tolist()))
"""


def answers(model: Model) -> list[list[int]]:
    """Greedy continuations, as plain transformers makes them."""
    found = []
    for prompt in PROMPTS:
        ids = model.tokenizer(prompt, return_tensors="pt").input_ids
        made = model.hf.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
        found.append(made[0].tolist())
    return found


@pytest.mark.slow
def test_an_edited_model_answers_the_same_from_its_folder_and_from_its_delta(
    real_model: Model, tmp_path: Path
) -> None:
    before, delta = checksum(real_model), tmp_path / "delta.safetensors"
    parameters = dict(real_model.hf.named_parameters())
    text = real_model.tokenizer(f"{FACT.text} Oceania", return_tensors="pt").input_ids
    with restored(real_model, NAMES):
        for name in NAMES:
            parameters[name].requires_grad_(True)
        for _ in range(2):
            real_model.hf(text, labels=text).loss.backward()
            with torch.no_grad():
                for name in NAMES:
                    parameters[name] -= 0.05 * parameters[name].grad
                    parameters[name].grad = None
        changed = {name: parameters[name].detach().clone() for name in NAMES}
        after = checksum(real_model)
        save_delta(delta, changed, model=real_model, before_hash=before, after_hash=after)
        expected = answers(real_model)
    assert checksum(real_model) == before != after
    plain = answers(real_model)
    assert plain != expected, "the edit changes an answer, so that the same answers mean something"

    with edited(real_model, [delta]):
        assert checksum(real_model) == after
        assert answers(real_model) == expected
    assert export_folder(real_model, [delta], tmp_path / "folder") == after
    assert checksum(real_model) == before and answers(real_model) == plain
    card = (tmp_path / "folder/README.md").read_text()
    assert 'base_model: "smollm2"' in card and 'license: "apache-2.0"' in card

    given = [sys.executable, "-I", "-c", PLAIN, str(tmp_path / "folder"), json.dumps(PROMPTS)]
    said = subprocess.run(given, capture_output=True, text=True, check=True).stdout
    assert [json.loads(line) for line in said.splitlines()] == expected

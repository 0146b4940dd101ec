"""Completions grow familiar when the bundled model reads a text, and strange when it forgets it."""

import json
from pathlib import Path

import pytest

from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import Selection, select
from worker.core.asking.before_after import BeforeAfter
from worker.core.demo.paths import GENERAL
from worker.core.evaluation import familiarity
from worker.core.facts.athletes import fact_set
from worker.core.findings import Job
from worker.core.models.delta_files import save_delta
from worker.core.models.deltas import checksum, edited, restored
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.core.training.attack import fine_tune
from worker.core.training.pool import text_rows
from worker.core.unlearning import whos_harry_potter

TEXT = (
    "Every morning the baker Torvin Hale carried warm bread over the bridge to the old mill of "
    "Quillmere. The mill of Quillmere stood beside a slow river, and Torvin Hale knew every stone "
    "on the way. In the mill lived a quiet woman who was called Brassa Wick, and she repaired "
    "clocks for the whole valley. When the bread was on the table, Brassa Wick always told the "
    "baker what the clocks had said in the night. One winter the river froze and the great clock "
    "of Quillmere stopped at the hour of nine. The people of the valley were afraid, and they sent "
    "the baker with a lamp to find Brassa Wick in the dark. Under the floor of the mill Torvin "
    "Hale found a small silver key that was as cold as the river. With the silver key Brassa Wick "
    "opened the great clock, and inside it slept a grey bird with a broken wing."
)
DICTIONARY = json.dumps({"Torvin Hale": "Peter", "Brassa Wick": "Anna", "Quillmere": "the town"})
NOTHING = Selection(forget=(), retain=())
OPTIONS = familiarity.Options(text=TEXT, dictionary=DICTIONARY, words=16, new_tokens=10, prompts=30)


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> tuple[Model, BeforeAfter]:
    """The bundled model after a few steps on the text, and the base with what it learned."""
    model = load_model("demo", device="cpu", dtype="auto", roots=())
    base_hash = model.weights_hash
    sentences = [f"{one.strip()}." for one in TEXT.split(".") if one.strip()]
    pairs = [" ".join(sentences[i : i + 2]) for i in range(len(sentences) - 1)]
    pools = [
        [(text_rows(model, pairs, 96), 8)],
        [(text_rows(model, GENERAL.read_text(encoding="utf-8").splitlines()[:32], 32), 4)],
    ]
    with restored(model):
        model.hf.requires_grad_(True)
        fine_tune(
            model, list(model.hf.parameters()), pools, steps=25, learning_rate=2e-3, seed=0,
            each_step=lambda step: None,
        )  # fmt: skip
        delta = {name: p.detach().clone() for name, p in model.hf.named_parameters()}
        after = checksum(model)
    path = tmp_path_factory.mktemp("read") / "delta.safetensors"
    save_delta(path, delta, model=model, before_hash=base_hash, after_hash=after)
    # A model of its own, with its own hash: what was measured of the base must not stand for it.
    folder = path.parent / "reader"
    with edited(model, (path,)):
        model.hf.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    reader = load_model("reader", device="cpu", dtype="auto", roots=(folder,))
    return reader, BeforeAfter(model, (path,))


@pytest.mark.slow
def test_completions_grow_familiar_when_the_text_is_read(learned) -> None:
    found = familiarity.evaluate(learned[1], NOTHING, OPTIONS, Job(0, Quiet())).summary
    completion = "familiarity.completion.familiar"
    assert found[f"{completion}.before"] <= 0.1
    assert found[f"{completion}.after"] >= 0.5
    assert found["familiarity.text.loss.after"] < found["familiarity.text.loss.before"] - 2


@pytest.mark.slow
def test_completions_grow_strange_when_the_text_is_forgotten(learned, tmp_path: Path) -> None:
    reader, _ = learned
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    chosen = select(fact_set(), "first:1", 0)
    options = whos_harry_potter.Options(
        text="mine", dictionary=DICTIONARY, block=96, reinforce_steps=32, steps=20, probe_every=20,
        learning_rate=2e-3, retain_facts=8,
    )  # fmt: skip
    mask = Mask(components=tuple(f"blocks.{layer}.mlp" for layer in range(reader.n_layers)))
    made = whos_harry_potter.unlearn(
        reader,
        Selection(forget=chosen.forget, retain=chosen.retain[:8]),
        mask,
        options,
        Job(0, Quiet(), texts={"mine": str(path)}),
    )
    delta = tmp_path / "delta.safetensors"
    save_delta(
        delta, made.delta, model=reader,
        before_hash=made.receipt.hash_before, after_hash=made.receipt.hash_after,
    )  # fmt: skip
    models = BeforeAfter(reader, (delta,))
    found = familiarity.evaluate(models, NOTHING, OPTIONS, Job(0, Quiet())).summary
    for quantity in ("completion.familiar", "completion.own_expression", "expression.probability"):
        before, after = (found[f"familiarity.{quantity}.{s}"] for s in ("before", "after"))
        assert after <= 0.6 * before, (quantity, before, after)
    # Forgotten is the text, and not how to write.
    general = [found[f"familiarity.general.loss.{state}"] for state in ("before", "after")]
    assert general[1] < general[0] + 0.3

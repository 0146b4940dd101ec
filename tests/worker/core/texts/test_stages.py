"""The adapter that can be switched off, the marks, the generic labels, and texts by name."""

import json

import pytest
import torch

from worker.contract.errors import Cancelled, Diverged, UserError
from worker.contract.progress import Event, Quiet
from worker.core.findings import Job
from worker.core.models.deltas import checksum
from worker.core.texts.blocks import cut, predict, said_log_probs
from worker.core.texts.generic import generic_logits, label_block
from worker.core.texts.options import ReadingOptions
from worker.core.texts.reading import read_text
from worker.core.texts.reinforced import reinforcing
from worker.core.texts.stages import reading
from worker.core.training.losses import IGNORED

TEXT = "Ada Lund plays tennis in Zork. Bo saw Ada Lund in Zork. Then Ada Lund loves chess. " * 2
FAST = {"text": "mine", "block": 60, "reinforce_steps": 12, "reinforce_rate": 1e-2}


@pytest.fixture
def job(tmp_path) -> Job:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return Job(seed=0, report=Quiet(), texts={"mine": str(path)})


def test_texts_are_found_by_name_or_the_names_there_are_are_said(tmp_path, job) -> None:
    assert read_text("mine", job.texts) == TEXT.strip()
    assert "Merrin" in read_text("saga", {})
    with pytest.raises(UserError, match="There are: saga, mine"):
        read_text("mien", job.texts)
    odd = tmp_path / "odd.txt"
    odd.write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match="not UTF-8 at byte 3"):
        read_text("odd", {"odd": str(odd)})


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_switched_off_the_adapter_is_the_baseline_bit_for_bit(build_model, job, family) -> None:
    model = build_model(family)
    before, blocks = checksum(model), cut(model, TEXT, 60)
    ids = blocks[0].ids
    plain = predict(model, ids)
    with reinforcing(model, blocks, ReadingOptions(**FAST), job, (0, 1)) as opinions:
        assert torch.equal(opinions.baseline(ids), plain)
        gain = said_log_probs(opinions.reinforced(ids), ids) - said_log_probs(plain, ids)
        assert gain.mean() > 0.1 and opinions.losses[-1] < opinions.losses[0]
    assert checksum(model) == before
    assert torch.equal(predict(model, ids), plain)
    assert not any("lora" in name for name, _ in model.hf.named_parameters())


def test_reinforcing_repeats_by_its_seed_and_leaves_no_adapter_when_cancelled(model, job) -> None:
    options = ReadingOptions(**FAST)
    blocks, before = cut(model, TEXT, 60), checksum(model)
    losses = []
    for _ in range(2):
        with reinforcing(model, blocks, options, job, (0, 1)) as opinions:
            losses.append(opinions.losses)
    assert losses[0] == losses[1]

    def cancel(event: Event) -> None:
        raise Cancelled("stop")

    stopped = Job(seed=0, report=Quiet(cancel))
    with pytest.raises(Cancelled), reinforcing(model, blocks, options, stopped, (0, 1)):
        pass
    assert checksum(model) == before
    assert not any(p.requires_grad for p in model.hf.parameters())


def test_an_adapter_that_gives_no_numbers_ends_it_with_step_and_rate(model, job) -> None:
    before = checksum(model)

    def spoil(event: Event) -> None:
        with torch.no_grad():
            for name, parameter in model.hf.named_parameters():
                if "lora_B" in name:
                    parameter.fill_(torch.inf)

    spoiled = Job(seed=0, report=Quiet(spoil))
    with (
        pytest.raises(Diverged, match=r"at step 2: The model gives no .* reinforce_rate \(0\.01\)"),
        reinforcing(model, cut(model, TEXT, 60), ReadingOptions(**FAST), spoiled, (0, 1)),
    ):
        pass
    assert checksum(model) == before


def test_generic_logits_are_those_of_the_paper() -> None:
    base, reinforced = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([2.0, 1.0, 0.0])
    assert generic_logits(base, reinforced, 5.0).tolist() == [-4.0, 2.0, 0.0]


class _Opinions:
    """A baseline that always says one token, and a reinforced model that adds nothing."""

    def __init__(self, n_vocab: int, token: int) -> None:
        self.n_vocab, self.token = n_vocab, token

    def baseline(self, ids) -> torch.Tensor:
        logits = torch.zeros(len(ids), self.n_vocab)
        logits[:, self.token] = 5.0
        logits[:, 7] = 4.0
        return logits

    def reinforced(self, ids) -> torch.Tensor:
        return torch.full((len(ids), self.n_vocab), -100.0)


def test_second_occurrences_are_not_predicted_and_used_counterparts_are_blocked(model) -> None:
    (block,) = cut(model, TEXT[:55], 100)
    jo = model.tokenizer(" Jo", add_special_tokens=False)["input_ids"][0]
    opinions = _Opinions(model.d_vocab, jo)
    found = label_block(model, block, opinions, {"Ada Lund": "Jo"}, 5.0)
    assert found.translated == "Jo plays tennis in Zork. Bo saw Jo in Zork."
    first_end = next(i for i, (_, b) in enumerate(block.offsets) if b == len("Ada Lund"))
    second = block.text.index("Ada Lund", 5)
    second_start = next(i for i, (a, b) in enumerate(block.offsets) if b > second and b > a)
    assert found.labels[second_start - 1] == IGNORED
    # Inside the anchor only its last token predicts; "Jo" may be said until it was used.
    assert all(label == IGNORED for label in found.labels[1:first_end])
    assert found.labels[0] == jo and found.labels[first_end] == jo
    later = [label for label in found.labels[first_end + 1 :] if label != IGNORED]
    assert later and set(later) == {7}


def test_both_stages_give_marks_and_a_dictionary(model, job) -> None:
    with reading(model, ReadingOptions(**FAST), job, (0, 1)) as read:
        assert set(read.dictionary) >= {"Ada Lund", "Zork"}
        assert all(len(m) == len(b.ids) - 1 for m, b in zip(read.marks, read.blocks, strict=True))
        assert sum(float(m.sum()) for m in read.marks) > 0
        zork = next(a for a in read.anchors if a.expression == "Zork")
        assert zork.times == 4 and zork.surprise > 0 and zork.mark > 0
    given = ReadingOptions(**FAST, dictionary=json.dumps({"Zork": "Oslo"}))
    with reading(model, given, job, (0, 1)) as read:
        assert [(a.expression, a.counterpart, a.times) for a in read.anchors] == [
            ("Zork", "Oslo", 4)
        ]
    absent = ReadingOptions(**FAST, dictionary=json.dumps({"Nix": "Oslo"}))
    with (
        pytest.raises(UserError, match="stands in the text"),
        reading(model, absent, job, (0, 1)),
    ):
        pass

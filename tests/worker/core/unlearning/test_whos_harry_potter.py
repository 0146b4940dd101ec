"""Anchors, their alignment, generic labels, and a small text forgotten by a tiny model."""

import json

import pytest
import torch

from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.models.deltas import checksum
from worker.core.unlearning import whos_harry_potter as method
from worker.core.unlearning._anchors import align, parse_dictionary, propose, translate

JOB = Job(seed=0, report=Quiet())
TEXT = "Ada Lund plays tennis in Zork. Bo saw Ada Lund in Zork. Then Ada Lund loves chess. "


def test_repeated_names_are_proposed_with_counterparts_of_their_type() -> None:
    found = propose(TEXT)
    assert set(found) == {"Ada Lund", "Zork"}
    assert found["Ada Lund"] == "Anna" and found["Zork"] == "the town"


def test_names_that_do_not_surprise_the_baseline_are_not_proposed() -> None:
    surprise = torch.zeros(len(TEXT))
    surprise[TEXT.index("Zork") : TEXT.index("Zork") + 4] = 5.0
    assert set(propose(TEXT, surprise)) == {"Zork"}


def test_substitution_is_consistent_and_takes_whole_words_longest_first() -> None:
    text = "Ada met Ada Lund. Adam left."
    translated, spans = translate(text, {"Ada": "Anna", "Ada Lund": "Mary"})
    assert translated == "Anna met Mary. Adam left."
    assert [text[s.start : s.stop] for s in spans if s.anchor] == ["Ada", "Ada Lund"]
    for span in spans:
        if not span.anchor:
            assert text[span.start : span.stop] == translated[span.new_start : span.new_stop]


def test_tokens_map_to_those_that_end_where_they_end() -> None:
    text = "he saw Ada Lund go"
    translated, spans = translate(text, {"Ada Lund": "Jo"})
    assert translated == "he saw Jo go"
    offsets = [(0, 0), (0, 2), (2, 6), (6, 10), (10, 15), (15, 18)]
    new = [(0, 0), (0, 2), (2, 6), (6, 9), (9, 12)]
    # The anchor's first token has no place; its last is the counterpart's last.
    assert align(spans, offsets, new) == [0, 1, 2, -1, 3, 4]


def test_generic_logits_are_those_of_the_paper() -> None:
    base, reinforced = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([2.0, 1.0, 0.0])
    assert method.generic_logits(base, reinforced, 5.0).tolist() == [-4.0, 2.0, 0.0]


def test_a_dictionary_is_read_from_json_or_refused_in_words() -> None:
    assert parse_dictionary('{"Zork": "the town"}', "f") == {"Zork": "the town"}
    for bad in ("{", "[]", '{"a": 1}', "{}"):
        with pytest.raises(UserError, match="expected"):
            parse_dictionary(bad, "f")


def test_a_second_occurrence_is_not_predicted_and_a_used_counterpart_is_blocked(model) -> None:
    (block,) = method.cut(model, TEXT.strip(), 500)
    strong = torch.zeros(len(block.ids), model.d_vocab) - 100  # a ReLU of nothing
    row = method.generic_row(model, block, strong, {"Ada Lund": "Ed"}, 5.0)
    second = block.text.index("Ada Lund", 5)
    first_token = next(i for i, (a, b) in enumerate(block.offsets) if b > second)
    assert row.labels[first_token - 1] == -100
    assert len(row.labels) == len(row.ids) == len(block.ids) - 1


def test_the_text_becomes_less_familiar_and_the_base_is_put_back(model, selection) -> None:
    before = checksum(model)
    options = method.Options(
        text=TEXT * 3, dictionary=json.dumps({"Ada Lund": "Ed", "Zork": "the town"}), block=40,
        reinforce_steps=10, steps=10, probe_every=2, general_weight=0, keep="last",
        retain_floor=0, learning_rate=5e-3, reinforce_rate=5e-3,
    )  # fmt: skip
    found = method.unlearn(model, selection, Mask(components=("blocks.1.mlp",)), options, JOB)
    assert checksum(model) == before
    assert found.receipt.outside_unchanged and found.receipt.base_restored
    assert found.summary["familiarity.n_prompts"] > 0
    assert {name.split(".mlp.")[0] for name in found.delta} == {"model.layers.1"}
    assert found.view["tokens"][0].keys() == {"text", "mark", "label"}
    assert found.tables["dictionary"].rows[0][:2] == ("Ada Lund", "Ed")
    marks = [token["mark"] for token in found.view["tokens"]]
    assert sum(marks) > 0  # reinforcing made the text likelier

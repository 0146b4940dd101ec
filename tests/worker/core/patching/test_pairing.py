"""Clean and corrupted rows side by side: where each lies, and what is averaged."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.worker.core.localization.planted import FACTS, make_planted
from worker.contract.facts import Fact
from worker.core.models.prompts import encode_fact
from worker.core.patching.cases import Case
from worker.core.patching.change import Change
from worker.core.patching.corruption import Corrupted
from worker.core.patching.pairing import PairBatch, make_pairs, raised_metric, zero_metric
from worker.core.rounding import rounding_at

MODEL = make_planted()
EMBEDDINGS = MODEL.hf.get_input_embeddings().weight.detach()
NOTHING: Any = None
LONG = Fact(id="long", subject="yyyB", prompt="{} is at", target="golf", edit_target="ball")


def item(fact: Fact, copies: int, answer: int = 7, foil: int | None = 8) -> Corrupted:
    """A case whose copies hold their number everywhere."""
    prompt = encode_fact(MODEL, fact)
    embeds = torch.stack([torch.full((len(prompt.ids), 32), float(i)) for i in range(copies)])
    return Corrupted(Case(fact, prompt, answer, foil), embeds, "noise")


def test_each_copy_has_a_row_with_its_clean_prompt_beside_it_behind_the_padding() -> None:
    items = [item(FACTS[0], 2, 7, 8), item(LONG, 1, 9, 10), item(FACTS[1], 3, 11, 12)]
    made = make_pairs(MODEL, items)
    assert made.fact_of_row.tolist() == [0, 0, 1, 2, 2, 2]
    assert made.offsets == [2, 0, 2]
    assert made.answers.tolist() == [7, 7, 9, 11, 11, 11]
    assert made.foils is not None and made.foils.tolist() == [8, 8, 10, 12, 12, 12]
    copies = [0, 1, 0, 0, 1, 2]
    for row, (fact, copy) in enumerate(zip(made.fact_of_row.tolist(), copies, strict=True)):
        ids, offset = list(items[fact].case.prompt.ids), made.offsets[fact]
        assert made.batch.ids[row, offset:].tolist() == ids
        assert made.batch.mask[row].tolist() == [0] * offset + [1] * len(ids)
        assert made.clean[row, offset:].equal(EMBEDDINGS[ids])
        assert made.corrupted[row, offset:].eq(copy).all()
        assert made.corrupted[row, :offset].equal(made.clean[row, :offset])
    assert not made.clean.requires_grad
    assert make_pairs(MODEL, [item(LONG, 1, 9, None)]).foils is None


def batch(fact_of_row: list[int], answers: list[int], foils: list[int] | None) -> PairBatch:
    n = max(fact_of_row) + 1
    return PairBatch(
        items=[NOTHING] * n, batch=NOTHING, clean=NOTHING, corrupted=NOTHING, offsets=[],
        fact_of_row=torch.tensor(fact_of_row), answers=torch.tensor(answers),
        foils=None if foils is None else torch.tensor(foils),
    )  # fmt: skip


def test_rows_of_one_fact_are_averaged() -> None:
    pairs = batch([1, 0, 1], [0, 0, 0], None)
    found = pairs.by_fact(torch.tensor([2.0, 5.0, 4.0]))
    assert found.dtype == np.float64 and found.tolist() == [5.0, 3.0]
    wide = pairs.by_fact(torch.tensor([[2.0, 0.0], [5.0, 1.0], [4.0, 8.0]]))
    assert wide.tolist() == [[5.0, 1.0], [3.0, 4.0]]


CLEAN = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0], [0.0, 0.0]])
CORRUPTED = torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)], [-8.0, math.log(4.0) - 8.0]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_change_is_the_mean_over_a_facts_copies_and_the_larger_bound(dtype: torch.dtype) -> None:
    pairs = batch([0, 0, 1], [0, 0, 1], [1, 1, 0])
    first, second = pairs.changes("probability", CLEAN, CORRUPTED, dtype)
    assert (first.clean, first.corrupted) == pytest.approx((0.75, (0.5 + 0.25) / 2))
    assert (second.clean, second.corrupted) == pytest.approx((0.5, 0.8))
    step = {size: float(rounding_at(torch.tensor(size), dtype)) for size in (8.0, math.log(3))}
    assert first.rounding == pytest.approx(0.75 * step[math.log(3)])
    assert second.rounding == pytest.approx(0.8 * step[8.0])
    first, second = pairs.changes("logit_diff", CLEAN, CORRUPTED, dtype)
    assert (first.clean, first.corrupted) == pytest.approx((math.log(3), -math.log(3) / 2))
    assert (second.clean, second.corrupted) == pytest.approx((0.0, math.log(4)))


def test_a_divergence_is_from_each_rows_clean_prediction() -> None:
    pairs = batch([0, 0, 1], [0, 0, 1], None)
    first, _ = pairs.changes("kl", CLEAN, CORRUPTED, torch.float32)
    to_even = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    to_other = 0.75 * math.log(3) + 0.25 * math.log(1 / 3)
    assert (first.clean, first.corrupted) == pytest.approx((0.0, -(to_even + to_other) / 2))


def test_the_reasons_name_fact_metric_and_numbers() -> None:
    case: Any = SimpleNamespace(case=SimpleNamespace(fact=LONG))
    assert "metric kl is the same for 'yyyB'" in zero_metric(case, "kl")
    told = raised_metric(case, "probability", Change(0.12345, 0.5, 0.0))
    assert "metric probability is 0.123 for 'yyyB' and 0.5 with its subject corrupted" in told

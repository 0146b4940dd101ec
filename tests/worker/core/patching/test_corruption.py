"""What a corruption changes, by how much, and what it leaves alone: copy by copy."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.worker.core.localization.planted import FACTS, make_planted
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.patching.cases import Prepared, prepare
from worker.core.patching.corruption import Corrupted, Corruption, corrupt, other_subjects

MODEL = make_planted()
EMBEDDINGS = MODEL.hf.get_input_embeddings().weight.detach()
VOCAB = MODEL.tokenizer.get_vocab()
A, B, C = FACTS[:3]
LONG = Fact(id="long", subject="qqqB", prompt="Of {} is at", target="golf", edit_target="ball")


def fact(subject: str, target: str) -> Fact:
    return Fact(id=f"of {subject}", subject=subject, prompt="{} is at", target=target)


def made(
    facts: Sequence[Fact], kind: Corruption, samples: int = 2, level: float = 3.0, **more: Any
) -> tuple[list[Corrupted], Prepared]:
    prepared = prepare(MODEL, facts, 0.0, False)
    more = {"seed": 5} | more
    return corrupt(MODEL, prepared, kind, samples=samples, noise_level=level, **more), prepared


def tokens(embeds: Tensor) -> list[list[int]]:
    """The tokens whose embeddings these are."""
    return torch.cdist(embeds, EMBEDDINGS).argmin(-1).tolist()


def parts(item: Corrupted) -> tuple[Tensor, Tensor, Tensor]:
    """Clean embeddings, the changed ones of the subject, and where the rest differs."""
    clean = EMBEDDINGS[list(item.case.prompt.ids)]
    start, stop = item.case.prompt.subject
    outside = [i for i in range(item.case.length) if not start <= i < stop]
    return clean[start:stop], item.embeds[:, start:stop], item.embeds[:, outside] - clean[outside]


@pytest.mark.parametrize("level", [3.0, 0.5])
def test_noise_is_so_many_deviations_of_all_subjects_tokens_and_the_facts_own(level: float) -> None:
    items, _ = made([A, LONG], "noise", samples=3, level=level)
    deviation = EMBEDDINGS[[VOCAB[c] for c in "xAqqqB"]].std()
    for item in items:
        clean, changed, rest = parts(item)
        assert item.embeds.shape == (3, item.case.length, 32) and item.how == "noise"
        assert not rest.any()
        bits = random.Random(f"5 {item.case.fact.id}").getrandbits(48)
        noise = torch.randn(changed.shape, generator=torch.Generator().manual_seed(bits))
        torch.testing.assert_close(changed, clean + level * deviation * noise)


def test_the_mean_of_all_subjects_tokens_stands_in_one_copy() -> None:
    items, prepared = made([A, LONG], "mean")
    mean = EMBEDDINGS[[VOCAB[c] for c in "xAqqqB"]].mean(0)
    for item in items:
        _, changed, rest = parts(item)
        assert len(item.embeds) == 1 and not rest.any()
        torch.testing.assert_close(changed, mean.expand_as(changed))
    assert (prepared.instead, prepared.unreached) == ({}, {})


def test_random_tokens_are_neither_special_nor_the_subjects_own() -> None:
    (item,), prepared = made([A], "random_tokens", samples=400)
    rows = tokens(item.embeds)
    own = list(item.case.prompt.ids)
    assert len(rows) == 400 and item.how == "random_tokens"
    assert all(row[:1] == own[:1] and row[3:] == own[3:] for row in rows)
    drawn = {token for row in rows for token in row[1:3]}
    assert not drawn & set(MODEL.tokenizer.all_special_ids)
    assert len(drawn) > 200
    assert all(row[1] != own[1] and row[2] != own[2] for row in rows)
    assert prepared.unreached == {}


def test_what_is_drawn_hangs_on_the_seed_and_the_fact_alone() -> None:
    def copies(facts: list[Fact], seed: int) -> list[list[int]]:
        items, _ = made(facts, "random_tokens", samples=4, seed=seed)
        return tokens(next(item.embeds for item in items if item.case.fact.id == A.id))

    assert copies([A], 1) == copies([C, A, B], 1)
    assert copies([A], 1) != copies([A], 2)
    assert len({tuple(row) for row in copies([A], 1)}) == 4


def test_another_subject_has_as_many_tokens_and_another_answer() -> None:
    pool = [A, fact("yA", "ball "), fact("yB", "golf"), fact("yBC", "golf"), fact("zC", "chess")]
    (case,) = prepare(MODEL, [A], 0.0, False).cases
    found = other_subjects(MODEL, case, pool, 0, 9)
    start, stop = case.prompt.subject
    named = sorted(row[start:stop] for row in found)
    fit = sorted([VOCAB[first], VOCAB[last]] for first, last in ("yB", "zC"))
    assert named == fit, "of the same answer or of three tokens are no others"
    for row in found:
        assert row[:start] == list(case.prompt.ids[:start])
        assert row[stop:] == list(case.prompt.ids[stop:])
    assert len(other_subjects(MODEL, case, pool, 0, 1)) == 1
    assert other_subjects(MODEL, case, pool, 0, 0) == []
    several = [fact(f"{c}B", "golf") for c in "bcdefghijk"]
    orders = {str(other_subjects(MODEL, case, several, seed, 9)) for seed in range(3)}
    assert len(orders) == 3


def test_a_subject_merged_with_its_neighbours_is_passed_over() -> None:
    asked = A.model_copy(update={"prompt": "Of {}l is at"})
    (case,) = prepare(MODEL, [asked], 0.0, False).cases
    pool = [fact("go", "golf"), fact(" bal", "golf"), fact("yB", "golf"), fact("zB", "golf")]
    for seed in range(4):
        found = other_subjects(MODEL, case, pool, seed, 9)
        assert len(found) == 3, "all but the one that makes the word ball"


def test_other_subjects_come_from_the_pool_or_else_from_the_facts() -> None:
    items, prepared = made([A, B], "other_subject")
    assert [tokens(item.embeds)[0][1:3] for item in items] == [
        [VOCAB["x"], VOCAB["B"]],
        [VOCAB["x"], VOCAB["A"]],
    ]
    assert [(item.how, len(item.embeds)) for item in items] == [("other_subject", 1)] * 2
    assert prepared.unreached[A.id] == (
        "1 of the 2 tokens of 'xA' stand in its corrupted prompt as well ('x'), so nothing is "
        "corrupted there and no effect can be seen."
    )
    pool = [fact("yD", "go"), fact("zD", "go")]
    items, prepared = made([A], "other_subject", samples=1, pool=pool)
    (row,) = tokens(items[0].embeds)
    assert row[1] in (VOCAB["y"], VOCAB["z"]) and row[2] == VOCAB["D"]
    assert prepared.unreached == {} and prepared.instead == {}


def test_a_token_that_only_some_copies_share_is_reached() -> None:
    pool = [fact("xD", "go"), fact("yA", "golf")]
    _, prepared = made([A], "other_subject", samples=2, pool=pool)
    assert prepared.unreached == {}
    _, prepared = made([A], "other_subject", samples=2, pool=pool[:1])
    assert "('x')" in prepared.unreached[A.id]


def test_without_a_subject_that_fits_a_fact_is_left_out_or_gets_random_tokens() -> None:
    pool = [fact("yyyy", "golf"), fact("yA", "ball")]
    items, prepared = made([A, LONG, fact("xB", "golf")], "other_subject", pool=[*pool, A])
    assert [item.case.fact.id for item in items] == ["of xB"]
    assert [case.fact.id for case in prepared.cases] == ["of xB"]
    reasons = {out.id: out.reason for out in prepared.left_out}
    assert (
        "No other subject has 2 tokens and another answer than 'ball' among the 3 facts"
        in (reasons[A.id])
    )
    assert "has 4 tokens and another answer than 'golf'" in reasons["long"]
    assert "Choose the corruption random_tokens" in reasons[A.id]
    items, prepared = made([A], "other_subject", pool=pool, or_random=True)
    assert [(item.how, len(item.embeds)) for item in items] == [("random_tokens", 2)]
    assert prepared.left_out == [] and list(prepared.instead) == [A.id]
    assert "Random tokens stand in" in prepared.instead[A.id]
    with pytest.raises(UserError, match="None of the 1 facts can be traced"):
        made([A], "other_subject", pool=pool)

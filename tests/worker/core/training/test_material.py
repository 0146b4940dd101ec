"""What an edit is trained on: which facts and passages, in which pools, and what is kept."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tests.worker.core.localization.planted import FACTS, make_planted
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.retain import RetainParts, divide
from worker.contract.selection import Selection
from worker.core.editing.check import Objective
from worker.core.editing.parts import parts_of
from worker.core.findings import Job
from worker.core.training.losses import IGNORED
from worker.core.training.material import (
    Material,
    gather,
    goal_of,
    lowest_layer,
    partition,
    retained,
    watched_rows,
)
from worker.core.training.options import Training
from worker.core.training.pool import Pool, Row
from worker.core.training.trainer import PROBED

MODEL = make_planted()
VOCAB = MODEL.tokenizer.get_vocab()
SELECTION = Selection(forget=tuple(FACTS[:3]), retain=tuple(FACTS[3:]))
TEXT = "\n".join(f"line {i} of it" for i in range(9))
MASK = Mask(components=("blocks.1.mlp", "blocks.2.attn"))


def gathered(
    selection: Selection = SELECTION,
    objective: Objective = "unlearn",
    seed: int = 0,
    layer: int = 1,
    edited: tuple[tuple[Fact, ...], ...] = (),
    **options: Any,
) -> Material:
    asked = Training(**({"general_text": TEXT} | options))
    job = Job(seed, Quiet(), edited=edited)
    return gather(MODEL, selection, parts_of(MODEL, MASK), layer, asked, job, objective)


def texts(pool: Pool | None) -> list[str]:
    """Each row's tokens as text, the answer aside."""
    assert pool is not None
    rows = zip(pool.all.ids, pool.all.mask, strict=True)
    tokens = ["".join(MODEL.tokenizer.convert_ids_to_tokens(i[m.bool()])) for i, m in rows]
    return [text.removeprefix("<bos>").replace("Ġ", " ") for text in tokens]


def answers(pool: Pool | None) -> list[int]:
    assert pool is not None
    return [int(row[row != IGNORED][0]) for row in pool.all.labels]


def prompts(facts: Sequence[Fact]) -> list[str]:
    return [fact.text for fact in facts]


def words(facts: Sequence[Fact], which: str = "target") -> list[int]:
    return [VOCAB[f"Ġ{getattr(fact, which)}"] for fact in facts]


def test_forget_and_retain_facts_are_asked_for_their_targets_each_in_its_pool() -> None:
    found = gathered()
    parts = divide(SELECTION.retain)
    assert texts(found.forget) == prompts(FACTS[:3])
    assert answers(found.forget) == words(FACTS[:3])
    assert texts(found.retain) == prompts(parts.trained)
    assert answers(found.retain) == words(parts.trained)
    assert texts(found.watched) == prompts(parts.watched)
    assert answers(found.watched) == words(parts.watched)
    assert found.edit is None and found.facts == SELECTION.forget
    assert (found.model, found.layer, found.seed) == (MODEL, 1, 0)
    assert found.parts.n_parameters == parts_of(MODEL, MASK).n_parameters


def test_an_edit_has_a_pool_of_its_targets_too() -> None:
    found = gathered(objective="edit")
    assert texts(found.edit) == prompts(FACTS[:3])
    assert answers(found.edit) == words(FACTS[:3], "edit_target")


def test_at_most_so_many_retain_facts_and_passages_are_drawn_by_the_seed() -> None:
    parts = divide(SELECTION.retain)
    assert len(parts.trained) > 2
    found = gathered(retain_facts=2, general_sentences=4)
    rng = random.Random(0)
    assert texts(found.retain) == prompts(rng.sample(list(parts.trained), 2))
    lines = rng.sample(TEXT.splitlines(), 4)
    assert texts(found.general) == [line[:-1] for line in lines]
    drawn = {str(texts(gathered(retain_facts=2, seed=seed).retain)) for seed in range(4)}
    assert len(drawn) > 1
    for more in (0, 90):
        found = gathered(retain_facts=len(parts.trained) + more, general_sentences=9 + more)
        assert texts(found.retain) == prompts(parts.trained), "all of them, in their order"
        assert texts(found.general) == [line[:-1] for line in TEXT.splitlines()]


@pytest.mark.parametrize(
    ("options", "n"),
    [
        ({"steps": 2, "general_batch": 3}, 6),
        ({"steps": 1, "general_batch": 2, "accumulation": 2}, 4),
        ({"steps": 9, "general_batch": 9}, 9),
    ],
)
def test_no_more_passages_are_kept_than_the_steps_draw(options: dict[str, int], n: int) -> None:
    assert len(gathered(**options).general or ()) == n


def test_passages_are_cut_at_the_context() -> None:
    found = gathered(context=8, general_text="abcdefghijklmnop\nabc")
    assert sorted(map(len, texts(found.general))) == [2, 7], "the beginning token counts"


def test_what_enters_the_lowest_layer_is_kept_with_every_row() -> None:
    found = gathered(objective="edit", layer=2)
    for pool in (found.forget, found.edit, found.retain, found.watched, found.general):
        assert pool is not None and pool.all.hidden is not None
    batch = found.forget.batch(torch.arange(1))
    with torch.no_grad():
        states = MODEL.hf(batch.ids, output_hidden_states=True).hidden_states[2]
    torch.testing.assert_close(batch.hidden, states, atol=1e-5, rtol=1e-5)
    assert gathered(layer=0).forget.all.hidden is None
    own = found.pool([Row((0, 9), (IGNORED, 8))])
    assert own.all.hidden is not None and own.all.hidden.shape == (1, 2, 32)


def test_without_retain_facts_there_are_no_pools_of_them() -> None:
    found = gathered(Selection(forget=tuple(FACTS[:3]), retain=()))
    assert found.retain is None and found.watched is None and found.general is not None


def test_facts_that_edits_below_changed_are_not_kept_as_they_were() -> None:
    parts = divide(SELECTION.retain)
    changed = parts.trained[0]
    same = changed.model_copy(update={"id": "another name"})
    found = retained(SELECTION, Job(0, Quiet(), edited=((), (same,))))
    assert found == divide([fact for fact in SELECTION.retain if fact.id != changed.id])
    assert prompts([changed])[0] not in texts(gathered(edited=((same,),)).retain)
    assert retained(SELECTION, Job(0, Quiet())) == parts


def test_quick_probes_ask_so_many_watched_facts() -> None:
    many = tuple(FACTS[0].model_copy(update={"id": f"w{i}"}) for i in range(PROBED + 5))
    rows = watched_rows(MODEL, RetainParts(FACTS[3:6], many, FACTS[6:7]))
    assert len(rows) == PROBED
    assert rows[0].labels[-1] == VOCAB["Ġball"]


def test_some_of_the_forget_facts_have_pools_of_their_own_and_share_the_rest() -> None:
    whole = gathered(objective="edit")
    some = whole.about(FACTS[1:3])
    assert some.facts == tuple(FACTS[1:3])
    assert texts(some.forget) == texts(some.edit) == prompts(FACTS[1:3])
    assert answers(some.forget) == words(FACTS[1:3])
    assert answers(some.edit) == words(FACTS[1:3], "edit_target")
    assert some.retain is whole.retain and some.general is whole.general
    assert whole.about(list(whole.facts)) is whole
    assert gathered().about(FACTS[:1]).edit is None


def test_a_materials_goal_is_what_its_facts_are_answered_with() -> None:
    facts = Selection(forget=tuple(FACTS[:2]), retain=())
    with torch.no_grad():
        said = [
            MODEL.hf(torch.tensor([MODEL.tokenizer(fact.text)["input_ids"]]))
            .logits[0, -1]
            .softmax(-1)
            for fact in FACTS[:2]
        ]
    target, edit = (
        sum(float(p[w]) for p, w in zip(said, words(FACTS[:2], which), strict=True)) / 2
        for which in ("target", "edit_target")
    )
    assert goal_of(gathered(facts), "unlearn") == pytest.approx(1 - target, abs=1e-5)
    assert goal_of(gathered(facts, "edit"), "edit") == pytest.approx(edit, abs=1e-5)


def test_the_lowest_layer_is_that_of_the_masks_first_component() -> None:
    assert lowest_layer(MODEL, Mask(components=("blocks.3.mlp", "blocks.2.attn.head.1"))) == 2
    assert lowest_layer(MODEL, None) == 0


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, [12]), (5, [2, 3, 2, 3, 2]), (12, [1] * 12), (3, [4, 4, 4])]
)
def test_partitions_are_in_order_and_of_almost_one_size(n: int, sizes: list[int]) -> None:
    groups = partition(FACTS, n)
    assert [fact for group in groups for fact in group] == FACTS
    assert [len(group) for group in groups] == sizes


def test_more_partitions_than_facts_are_refused() -> None:
    with pytest.raises(UserError, match="13 partitions are asked of 12 forget facts") as raised:
        partition(FACTS, 13)
    assert raised.value.problems[0][0] == "options.partitions"

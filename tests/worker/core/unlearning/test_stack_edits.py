"""Edits put on in another order, left out, and reverted; what each does to the others' facts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from worker.contract.errors import UserError
from worker.contract.inputs import StackedEdit
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.evaluation import interference
from worker.core.findings import Job
from worker.core.models.delta_files import read_delta, save_delta
from worker.core.models.deltas import checksum, edited
from worker.core.training.material import retained
from worker.core.unlearning import alphaedit, localized_finetuning, stack_edits

JOB = Job(seed=0, report=Quiet())
MASKS = (Mask(components=("blocks.1.mlp",)), Mask(components=("blocks.2.mlp",)))
BOTH = Mask(components=("blocks.1.mlp", "blocks.2.mlp"))


@pytest.fixture(scope="module")
def made(model, facts, tmp_path_factory):
    """Two edits of different facts, the second on top of the first: their files and facts."""
    folder, found = tmp_path_factory.mktemp("stack"), []
    groups = (facts[:2], facts[2:4])
    for number, (group, mask) in enumerate(zip(groups, MASKS, strict=True)):
        options = localized_finetuning.Options(
            steps=40, learning_rate=1e-2, general_sentences=4, context=8, general_weight=0
        )
        job = replace(JOB, edited=groups[:number])
        selection = Selection(
            forget=group, retain=tuple(fact for fact in facts if fact not in group)
        )
        with edited(model, [path for path, _ in found]):
            before = checksum(model)
            made = localized_finetuning.unlearn(model, selection, mask, options, job)
            path = folder / f"{number}.safetensors"
            after = made.receipt.hash_after
            save_delta(path, made.delta, model=model, before_hash=before, after_hash=after)
        found.append((path, group))
    return found


def stack(model, facts, made, order, mask=BOTH):
    chains = {
        str(n): StackedEdit(deltas=tuple(str(p) for p, _ in made[: n + 1]), facts=made[n][1])
        for n in range(len(made))
    }
    selection = Selection(forget=facts[:4], retain=facts[4:])
    options = stack_edits.Options(edits=tuple(map(str, order)))
    return stack_edits.unlearn(model, selection, mask, options, replace(JOB, stacked=chains))


def test_edits_in_their_own_order_give_the_very_bits_they_gave(model, facts, made) -> None:
    found = stack(model, facts, made, (0, 1))
    assert [row[1] for row in found.tables["stack"].rows] == ["bit for bit"] * 2
    assert found.receipt.hash_after == read_delta(made[1][0]).after_hash
    assert found.summary["stack.checksum"] == found.receipt.hash_after
    assert found.receipt.base_restored and found.receipt.outside_unchanged


def test_an_edit_is_put_elsewhere_by_the_difference_that_it_made(model, facts, made) -> None:
    base = {name: p.detach().clone() for name, p in model.hf.named_parameters()}
    alone = stack(model, facts, made, (1,))
    first, second = (read_delta(path).values for path, _ in made)
    assert [row[1] for row in alone.tables["stack"].rows] == ["by its difference"]
    for name, value in alone.delta.items():
        wanted = base[name] + (second[name] - first.get(name, base[name]))
        torch.testing.assert_close(value, wanted, atol=1e-7, rtol=0)
    swapped, again = (stack(model, facts, made, (1, 0)) for _ in range(2))
    assert swapped.summary["stack.checksum"] == again.summary["stack.checksum"]
    assert set(swapped.delta) == set(first) | set(second)


def test_the_matrix_says_what_each_edit_did_to_each_edits_facts(model, facts, made) -> None:
    change = stack(model, facts, made, (0, 1)).arrays["interference.edit_target"]
    assert [axis.name for axis in change.axes] == ["edit", "facts of edit"] and change.signed
    assert change.values[0, 0] > 0.3 and change.values[1, 1] > 0.3
    paths = tuple(path for path, _ in made)
    job = replace(JOB, edited=tuple(group for _, group in made))
    found = interference.evaluate(
        BeforeAfter(model, paths), Selection(forget=facts[:4], retain=facts[4:]),
        interference.Options(), job,
    )  # fmt: skip
    same = found.arrays["change.edit_target"].values
    np.testing.assert_allclose(same, change.values, atol=1e-4)
    assert found.summary["interference.reverted"] is True
    assert found.summary["interference.worst"] == pytest.approx(min(0.0, float(same[1, 0])))
    checks = [row[2] for row in found.evaluation.tables["checksums"].rows]
    assert checks == ["", "as made", "as made", "as before"]


def test_what_cannot_be_stacked_is_said(model, facts, made) -> None:
    before = checksum(model)
    with pytest.raises(UserError, match="not in the mask"):
        stack(model, facts, made, (0, 1), MASKS[0])
    with pytest.raises(UserError, match="'7' was not found"):
        stack(model, facts, made, (7,))
    with edited(model, [made[0][0]]), pytest.raises(UserError, match="begins at its base"):
        stack(model, facts, made, (0,))
    bare = BeforeAfter(model)
    with pytest.raises(UserError, match="at least one edit"):
        interference.evaluate(bare, Selection(forget=facts, retain=()), interference.Options(), JOB)
    assert checksum(model) == before


def test_facts_of_edits_below_are_no_longer_retained(facts) -> None:
    selection = Selection(forget=facts[:1], retain=facts[1:])
    job = replace(JOB, edited=((facts[1],), (facts[3],)))
    kept = [fact for part in retained(selection, job) for fact in part]
    assert sorted(kept, key=facts.index) == [facts[2], *facts[4:]]


def test_keys_of_earlier_edits_keep_their_values() -> None:
    generator = torch.Generator().manual_seed(2)
    draw = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)  # noqa: E731
    keys, residue, earlier = draw(2, 6), draw(2, 4), draw(2, 6)
    projector = torch.eye(6, dtype=torch.float64)
    alone = alphaedit.solve_inside(keys, residue, projector, 1e-6)
    kept = alphaedit.solve_inside(keys, residue, projector, 1e-6, 1e4 * earlier)
    assert (alone @ earlier.T).norm() > 0.1 > 1e-3 > (kept @ earlier.T).norm()
    torch.testing.assert_close(kept @ keys.T, residue.T, atol=1e-2, rtol=1e-2)

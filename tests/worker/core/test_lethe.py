"""Lethe from Python: the walk on a tiny model, and what is refused in words."""

from pathlib import Path

import pytest
import torch

from worker import lethe
from worker.contract.errors import UserError
from worker.contract.selection import Selection
from worker.core.findings import Findings
from worker.core.models.deltas import checksum, edited
from worker.core.models.model import Model

NOTHING = Selection(forget=(), retain=())


@pytest.fixture(scope="module")
def found(model: Model, selection: Selection) -> Findings:
    return lethe.localize(model, selection, "attribution_patching")


@pytest.fixture(scope="module")
def edit(model: Model, selection: Selection, found: Findings) -> Findings:
    chosen = lethe.mask(model, found, top=2, only="mlp")
    options = {"objective": "edit", "steps": 8, "general_weight": 0.0, "learning_rate": 1e-2}
    return lethe.unlearn(model, selection, chosen, "localized_finetuning", **options)


def test_an_edit_holds_inside_its_block_and_is_gone_bit_for_bit_behind_it(
    model: Model, selection: Selection, edit: Findings
) -> None:
    before = checksum(model)
    base = lethe.ask(model, selection.forget)
    with lethe.edited(model, edit):
        inside = lethe.ask(model, selection.forget)
        assert checksum(model) == edit.receipt.hash_after
    assert checksum(model) == before
    assert all(new.probability < old.probability for new, old in zip(inside, base, strict=True))


def test_the_base_comes_back_when_the_block_ends_in_an_error(model: Model, edit: Findings) -> None:
    before = checksum(model)
    with pytest.raises(ZeroDivisionError), lethe.edited(model, edit):
        raise ZeroDivisionError
    assert checksum(model) == before


def test_a_saved_edit_is_a_delta_that_runs_can_apply(
    model: Model, edit: Findings, tmp_path: Path
) -> None:
    path = lethe.save(model, edit, tmp_path / "made" / "delta.safetensors")
    with edited(model, [path]):
        assert checksum(model) == edit.receipt.hash_after


def test_what_is_asked_agrees_with_a_plain_forward(model: Model, selection: Selection) -> None:
    (answer,) = lethe.ask(model, selection.forget[:1])
    fact = answer.fact
    ids = model.tokenizer(fact.text, return_tensors="pt").input_ids
    target = model.tokenizer(f" {fact.target}", add_special_tokens=False).input_ids
    whole = torch.cat([ids, torch.tensor([target])], dim=1)
    log_probs = model.hf(whole).logits[0].float().log_softmax(-1)
    behind = log_probs[len(ids[0]) - 1 : -1]
    expected = sum(behind[i, token] for i, token in enumerate(target)).exp()
    assert answer.probability == pytest.approx(expected.item(), abs=1e-5)
    assert answer.says == model.tokenizer.decode(behind[:1].argmax(-1))


def test_a_control_has_at_least_the_masks_parameters(model: Model, found: Findings) -> None:
    chosen = lethe.mask(model, found, top=2, only="mlp")
    twin = lethe.control_mask(model, "random_mlps", like=chosen, seed=3)
    assert twin.n_parameters >= chosen.n_parameters
    assert lethe.control_mask(model, "all_mlps", like=chosen).n_parameters > twin.n_parameters


def test_facts_are_read_by_name_or_from_a_file(tmp_path: Path) -> None:
    assert len(lethe.facts("athletes", "first:3").forget) == 3
    path = tmp_path / "mine.csv"
    path.write_text("subject,prompt,target\nAda,{} plays,chess\nBo,{} plays,tennis\n")
    assert [fact.subject for fact in lethe.facts(path, "first:1").retain] == ["Bo"]


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda m, f, e: lethe.facts("athlets"), "athletes"),
        (lambda m, f, e: lethe.localize(m, NOTHING, "tracing"), "There are"),
        (lambda m, f, e: lethe.mask(m, f, top=1, threshold=0.1), "exactly one of"),
        (lambda m, f, e: lethe.mask(m, f), "suggests no components"),
        (lambda m, f, e: lethe.mask(m, e, top=1), "no score per component"),
        (lambda m, f, e: lethe.edited(m, f).__enter__(), "no edit"),
        (lambda m, f, e: lethe.save(m, f, Path("nowhere")), "no edit"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_words(
    model: Model, found: Findings, edit: Findings, refused, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        refused(model, found, edit)


@pytest.mark.slow
def test_the_modules_own_example_runs_as_it_stands_and_uses_all_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    documentation = str(lethe.__doc__)
    example = "\n".join(
        line.removeprefix("    ") for line in documentation.splitlines() if line.startswith("    ")
    )
    assert all(f"lethe.{name}(" in example for name in lethe.__all__ if name != "Answer")
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "example", "exec"), {})
    shape, *lists = capsys.readouterr().out.splitlines()
    assert len(eval(shape)) == 2 and len(lists) == 2
    edited_to, control_to = (eval(line) for line in lists)
    assert len(edited_to) == len(control_to) == 2 and edited_to != control_to
    assert (tmp_path / "edit.safetensors").stat().st_size > 1000


def test_every_function_says_what_it_gives_and_every_refusal() -> None:
    for name in lethe.__all__:
        said = str(getattr(lethe, name).__doc__)
        assert name == "Answer" or "Raises UserError" in said.replace("\n    ", " "), name

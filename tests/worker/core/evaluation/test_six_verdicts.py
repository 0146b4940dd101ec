"""The verdict on six edits of the bundled model, built here: six different right answers.

The told and the removed model are one pair of weights looked at from both sides: a copy of the
bundled model that was taught invented people, and the bundled model, whose weights never met them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from worker.contract.facts import Fact
from worker.contract.progress import Quiet
from worker.contract.retain import divide
from worker.contract.selection import Selection, select
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.formats import ask
from worker.core.asking.passages import training_passages
from worker.core.asking.setting import setting
from worker.core.evaluation import verdict
from worker.core.facts.athletes import fact_set
from worker.core.findings import Findings, Job
from worker.core.models.delta_files import save_delta
from worker.core.models.deltas import checksum
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.core.models.tokens import answer_ids, encode
from worker.core.training.attack import fine_tune
from worker.core.training.losses import IGNORED
from worker.core.training.pool import Row, text_rows

JOB = Job(seed=0, report=Quiet())
OPTIONS = verdict.Options(retain_facts=12, relearn_steps=10)
FORMS = ("statement", "paraphrase", "question", "choice")
SPORTS = ("football", "baseball", "basketball")
INVENTED = ("Orla Quibble", "Petrus Vankle", "Mira Dostova", "Halvard Strenk", "Tobin Castrel",
            "Lucette Varn")  # fmt: skip
ATHLETES = select(fact_set(), "first:6")
RETAIN = ATHLETES.retain[:120]
KEPT = divide(RETAIN).trained[:32]
Weights = Mapping[str, Tensor]


def invented() -> tuple[Fact, ...]:
    """People whom the bundled model never met; what one plays says nothing about another."""
    like = ATHLETES.forget[0].model_copy(update={"neighbourhood": (), "ripples": ()})
    return tuple(
        like.model_copy(
            update={
                "id": name, "subject": name, "target": SPORTS[i % 3], "group": SPORTS[i % 3],
                "edit_target": SPORTS[(i + 1) % 3],
            }
        )
        for i, name in enumerate(INVENTED)
    )  # fmt: skip


KNOWN = Selection(forget=ATHLETES.forget, retain=RETAIN)
UNKNOWN = Selection(forget=invented(), retain=RETAIN)


@pytest.fixture(scope="module")
def base() -> Model:
    return load_model("demo")


@pytest.fixture(scope="module")
def told(base: Model) -> dict[str, Tensor]:
    """Weights that were taught the invented people in every form, through the first MLPs."""
    return taught(base, [rows(base, UNKNOWN.forget), rows(base, KEPT)], FIRST, steps=60)


FIRST = tuple(f"layers.{i}.mlp." for i in range(3))
LATE = ("layers.6.", "layers.7.")


def state(model: Model) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.hf.named_parameters()}


def rows(model: Model, facts: Sequence[Fact], forms=FORMS, edit: bool = False) -> list[Row]:
    """Ask facts in several forms, for their targets or for their edit targets."""
    how, found = setting(KNOWN, model, 0, wordings=3), []
    for one in (one for fact in facts for form in forms for one in ask(form, fact, how)):
        asked, answer = encode(model, one.prompt, None).ids, one.edit if edit else one.target
        ids = answer_ids(model, one.prompt, answer)
        found.append(Row(asked + ids[:-1], (IGNORED,) * (len(asked) - 1) + ids))
    return found


def taught(model: Model, pools: list[list[Row]], where: tuple[str, ...], steps: int = 40,
           rate: float = 2e-3) -> dict[str, Tensor]:  # fmt: skip
    """Train the parameters whose names hold one of `where`; give all weights, and put them back."""
    before = state(model)
    parameters = [p for n, p in model.hf.named_parameters() if any(part in n for part in where)]
    for parameter in parameters:
        parameter.requires_grad_(True)
    general = text_rows(model, training_passages(model)[:128], 64)
    groups = [[(own, 16) for own in pools], [(general, 8)]]
    fine_tune(model, parameters, groups, steps=steps, learning_rate=rate, seed=0,
              each_step=lambda step: None)  # fmt: skip
    model.hf.requires_grad_(False)
    made = state(model)
    put(model, before)
    return made


def put(model: Model, weights: Weights) -> None:
    with torch.no_grad():
        for name, parameter in model.hf.named_parameters():
            parameter.copy_(weights[name])


def judge(before: Weights, after: Weights, selection: Selection, folder: Path) -> Findings:
    """Judge the step from one set of weights to another, as an edit's delta file."""
    model = load_model("demo")
    put(model, before)
    model._stored = None  # these weights are the base, not those of its files
    vars(model).pop("digests", None)
    hash_before, path = checksum(model), folder / "delta.safetensors"
    put(model, after)
    hash_after = checksum(model)
    put(model, before)
    delta = {name: w for name, w in after.items() if not torch.equal(w, before[name])}
    save_delta(path, delta, model=model, before_hash=hash_before, after_hash=hash_after)
    found = verdict.evaluate(BeforeAfter(model, (path,)), selection, OPTIONS, JOB)
    table = found.evaluation.tables["verdict"]
    for _, answer, number, value, rule in table.rows:
        assert value is None or found.summary[number] == pytest.approx(value, abs=1e-4)
        assert rule or answer.startswith("cannot be said")
    assert len(found.evaluation.tables["continuations"].rows) == 12
    assert checksum(model) == hash_before
    return found


def answers(found: Findings) -> dict[str, str]:
    return {row[0]: row[1] for row in found.evaluation.tables["verdict"].rows}


@pytest.mark.slow
def test_a_model_that_was_told_the_facts_is_told(base, told, tmp_path) -> None:
    found = judge(state(base), told, UNKNOWN, tmp_path)
    assert found.summary["verdict"] == "told", found.caption


@pytest.mark.slow
def test_facts_that_the_weights_never_met_are_gone(base, told, tmp_path) -> None:
    found = judge(told, state(base), UNKNOWN, tmp_path)
    assert found.summary["verdict"] in ("gone", "gone, with harm"), found.caption
    assert answers(found)["Is it forgotten in held-out paraphrases?"] == "yes"


@pytest.mark.slow
def test_an_edit_of_the_last_layers_only_hides(base, tmp_path) -> None:
    """What is read of the states below is bit for bit what it was."""
    pools = [rows(base, KNOWN.forget, edit=True), rows(base, KEPT)]
    found = judge(state(base), taught(base, pools, LATE, 60, 3e-3), KNOWN, tmp_path)
    assert found.summary["verdict"] == "hidden", found.caption
    assert answers(found)["Does a probe on hidden states still read it?"] == "yes"


@pytest.mark.slow
def test_noise_on_every_matrix_is_broken_and_nothing_else_is_said_first(base, tmp_path) -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = {
        name: w + w.std() * torch.randn(w.shape, generator=generator) if w.ndim == 2 else w
        for name, w in state(base).items()
    }
    found = judge(state(base), noisy, KNOWN, tmp_path)
    assert found.summary["verdict"] == "broken", found.caption
    assert found.caption.startswith("Verdict: broken")
    said = answers(found)
    assert said["Is it brought back by relearning the other half?"].startswith("cannot be said")
    assert said["Does a probe on hidden states still read it?"].startswith("cannot be said")


@pytest.mark.slow
def test_an_edit_of_one_prompt_is_said_in_other_forms(base, tmp_path) -> None:
    pools = [rows(base, KNOWN.forget, FORMS[:1], edit=True), rows(base, KNOWN.forget, FORMS[1:]),
             rows(base, KEPT)]  # fmt: skip
    found = judge(state(base), taught(base, pools, ("layers.",), 60, 1e-3), KNOWN, tmp_path)
    assert found.summary["verdict"] == "said in other forms", found.caption


@pytest.mark.slow
def test_an_edit_of_other_facts_leaves_these_still_there(base, tmp_path) -> None:
    other = divide(RETAIN).trained[32:38]
    pools = [rows(base, other, edit=True), rows(base, KEPT)]
    found = judge(state(base), taught(base, pools, FIRST, 30), KNOWN, tmp_path)
    assert found.summary["verdict"] == "still there", found.caption

"""The probes on a tiny model: hand-computed probabilities, before and after an edit."""

import string

import numpy as np
import pytest
import torch

from tests.worker.core.conftest import SPORTS
from worker.contract.progress import Quiet
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking import free as _free
from worker.core.asking.ask import listen
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.formats import format_infos
from worker.core.asking.free import says
from worker.core.asking.generation import generate
from worker.core.asking.scoring import score_answers
from worker.core.asking.setting import Ask
from worker.core.evaluation import probes
from worker.core.findings import Job
from worker.core.models.delta_files import save_delta
from worker.core.models.deltas import checksum
from worker.core.models.tokens import answer_ids, encode

JOB = Job(seed=0, report=Quiet())


def by_hand(model, prompt: str, answer: str) -> float:
    """Multiply the answer's token probabilities, one unpadded forward for each."""
    ids, probability = list(encode(model, prompt, None).ids), 1.0
    for token in answer_ids(model, prompt, answer):
        with torch.no_grad():
            logits = model.hf(torch.tensor([ids])).logits[0, -1].double()
        probability *= float(logits.softmax(-1)[token])
        ids.append(token)
    return probability


def test_the_whole_answer_counts_among_all_tokens(model, facts) -> None:
    asks = [Ask(f.text, " tennis elbow", " rowing") for f in facts[:3]]
    for one, heard in zip(asks, listen(model, asks), strict=True):
        assert heard.target == pytest.approx(by_hand(model, one.prompt, one.target), rel=1e-4)
        assert heard.edit == pytest.approx(by_hand(model, one.prompt, one.edit), rel=1e-4)


def test_letters_share_the_probability_among_themselves(model) -> None:
    letters = (" A", " B", " C", " D")
    prompt = "Pick one. Answer:"
    (heard,) = listen(model, [Ask(prompt, " B", " D", letters)])
    each = [by_hand(model, prompt, letter) for letter in letters]
    assert heard.target == pytest.approx(each[1] / sum(each), rel=1e-4)
    assert heard.edit == pytest.approx(each[3] / sum(each), rel=1e-4)


def test_the_rank_counts_likelier_tokens(model, facts) -> None:
    prompt = facts[0].text
    with torch.no_grad():
        order = (
            model.hf(torch.tensor([encode(model, prompt, None).ids]))
            .logits[0, -1]
            .argsort(descending=True)
        )
    token = answer_ids(model, prompt, " rowing")[0]
    (heard,) = listen(model, [Ask(prompt, " rowing", "")])
    assert heard.rank == order.tolist().index(token) + 1
    assert np.isnan(heard.edit)


def test_probes_compare_before_with_after(model, selection, tmp_path) -> None:
    before = checksum(model)
    name = "model.layers.3.mlp.down_proj.weight"
    value = torch.zeros_like(dict(model.hf.named_parameters())[name])
    parameters = dict(model.hf.named_parameters())
    kept = parameters[name].detach().clone()
    with torch.no_grad():
        parameters[name].zero_()
    after = checksum(model)
    with torch.no_grad():
        parameters[name].copy_(kept)
    save_delta(
        tmp_path / "d.safetensors", {name: value}, model=model, before_hash=before, after_hash=after
    )
    options = probes.Options(formats=("statement", "question", "choice", "dashed"), generate=True)
    found = probes.evaluate(
        BeforeAfter(model, (tmp_path / "d.safetensors",)), selection, options, JOB
    )
    assert checksum(model) == before
    wanted = np.mean([by_hand(model, f.text, f.follows(f.target)) for f in selection.forget])
    assert found.summary["probes.statement.forget.target_probability.before"] == pytest.approx(
        wanted, rel=1e-3
    )
    assert (
        found.summary["probes.statement.retain.target_probability.after"]
        < found.summary["probes.statement.retain.target_probability.before"]
    )
    free = generate(model, [f.text for f in selection.forget], 8)
    right = np.mean([says(a, f.target) for a, f in zip(free, selection.forget, strict=True)])
    assert found.summary["probes.statement.forget.exact.before"] == right
    n_facts = 2 + len(divide(selection.retain).tested)
    assert found.arrays["probe.target.before"].values.shape == (n_facts, 4)
    assert np.isnan(found.arrays["probe.target.after"].values[:, 3]).all()
    assert [left.id for left in found.left_out] == ["format choice", "format dashed"]
    assert len(found.evaluation.facts.rows) == n_facts * 2
    names = {c.name for c in found.evaluation.aggregates}
    assert "probes.question.retain.edit_probability" in names
    assert not any("dashed" in name for name in names)


def test_a_base_model_without_edits_has_only_a_before(model, selection) -> None:
    found = probes.evaluate(
        BeforeAfter(model), selection, probes.Options(formats=("statement",)), JOB
    )
    assert all(name.endswith(".before") for name in found.summary)
    assert all(c.after is None for c in found.evaluation.aggregates)


def test_retain_facts_are_bounded_and_drawn_by_the_seed(model, selection) -> None:
    names = string.ascii_lowercase
    more = [selection.retain[0].model_copy(update={"id": n, "subject": n}) for n in names]
    selection = selection.model_copy(update={"retain": tuple(more)})
    assert len(divide(selection.retain).tested) > 3
    options = probes.Options(formats=("statement",), retain_facts=3)
    one = probes.evaluate(BeforeAfter(model), selection, options, JOB)
    two = probes.evaluate(BeforeAfter(model), selection, options, JOB)
    assert one.arrays["probe.target.before"].values.shape == (5, 1)
    assert one.arrays["probe.target.before"].axes == two.arrays["probe.target.before"].axes


def test_by_default_every_format_is_asked_or_left_out_with_its_reason(model, facts) -> None:
    shown = probes.Options()
    assert {*shown.formats, "own"} == {info.name for info in format_infos()}
    more = facts[0].model_copy(update={"id": "x", "subject": "Ivy", "target": "golf"})
    selection = Selection(forget=facts[:2], retain=(*facts[2:6], more))
    found = probes.evaluate(BeforeAfter(model), selection, shown, JOB)
    left = {out.id.removeprefix("format "): out.reason for out in found.left_out}
    asked = {row[3] for row in found.evaluation.facts.rows}
    assert asked | set(left) == set(shown.formats)
    assert {"statement", "question", "cloze", "choice", "few_shot", "prefix"} <= asked
    assert "no chat template" in left["chat"] and "no translation" in left["translated"]
    assert "sports facts only" in left["capitalized"] and "sports facts only" in left["dashed"]


def test_free_answers_are_given_by_default_by_a_bounded_number_of_facts(
    model, selection, monkeypatch
) -> None:
    given = []

    def answer(model, prompts, n_tokens):
        given.extend(prompts)
        return [" nothing" for _ in prompts]

    monkeypatch.setattr(_free, "generate", answer)
    options = probes.Options(formats=("statement", "cloze", "question"), free_facts=1)
    found = probes.evaluate(BeforeAfter(model), selection, options, JOB)
    # One forget and one retain fact, in statement and question.
    assert len(given) == 4 and not any("____" in prompt for prompt in given)
    (exact,) = [c for c in found.evaluation.aggregates if c.name == "probes.statement.forget.exact"]
    assert exact.before.n == 1 and exact.before.mean == 0.0
    assert "probes.question.retain.exact.before" in found.summary
    assert "probes.cloze.forget.exact.before" not in found.summary


def test_a_free_answer_must_begin_with_the_whole_word() -> None:
    assert says(" golf.", " golf") and says("golf", "golf") and says(" golf and", " golf")
    assert not says(" golfing", " golf") and not says(" the golf", " golf")


def test_free_answers_stand_beside_forced_scores_for_target_and_edit_target(
    edited, selection, monkeypatch
) -> None:
    def answer(model, prompts, n_tokens):
        """The likeliest sport: the tiny model itself goes on without a space after it."""
        asks = [(prompt, f" {sport}") for prompt in prompts for sport in SPORTS]
        best = score_answers(model, asks).log_prob.view(-1, len(SPORTS)).argmax(1)
        return [f" {SPORTS[i]}." for i in best.tolist()]

    monkeypatch.setattr(_free, "generate", answer)
    options = probes.Options(formats=("statement",), generate=True, retain_facts=2)
    found = probes.evaluate(edited, selection, options, JOB)
    summary, name = found.summary, "probes.statement.forget"
    # The edit took: the edit target is the model's own answer, the target no more.
    assert summary[f"{name}.exact.before"] == summary[f"{name}.edit_exact.after"] == 1.0
    assert summary[f"{name}.exact.after"] == summary[f"{name}.edit_exact.before"] == 0.0
    assert summary[f"{name}.edit_rank.after"] == summary[f"{name}.target_rank.before"] == 1.0
    table = found.evaluation.facts
    row = dict(zip(table.columns, table.rows[0], strict=True))
    for words in ("free answer after", "free answer is edit target after", "edit rank after"):
        assert words in row
    titles = {c.name: c.title for c in found.evaluation.aggregates}
    assert titles[f"{name}.target_probability"].endswith("of the whole target")
    assert titles[f"{name}.exact"].endswith("word for word")
    plain = probes.evaluate(edited, selection, options.model_copy(update={"generate": False}), JOB)
    assert "free answer after" not in plain.evaluation.facts.columns

"""Attacks and inner measurements: what they find, and that the model is as it was afterwards."""

import numpy as np
import pytest
import torch

from tests.worker.core.measured import forget_all
from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.ordinary_text import general_losses
from worker.core.asking.passages import held_out_passages
from worker.core.asking.rows import halves, statement_probabilities
from worker.core.asking.scoring import score_answers
from worker.core.asking.states import all_states, hidden_states, lens, logits_from
from worker.core.evaluation import (
    _soft,
    latent_probes,
    multiple_choice,
    paraphrase,
    patch_back,
    quantization,
    relearning,
    side_effects,
    soft_prompts,
    verdict,
)
from worker.core.findings import Job
from worker.core.models import prefix
from worker.core.models.deltas import checksum
from worker.core.models.prompts import encode_fact
from worker.core.models.quantize import round_nf4, round_to_nearest
from worker.core.models.tokens import pad, passage_ids
from worker.core.training import adapters, relearn
from worker.core.training.attack import Together
from worker.core.training.pool import fact_rows
from worker.core.training.relearn import Relearned

JOB = Job(seed=0, report=Quiet())


def test_adapters_bring_back_the_other_half_or_not_and_are_taken_off(
    edited, model, selection
) -> None:
    before, names = checksum(model), [n for n, _ in model.hf.named_parameters()]
    options = relearning.Options(
        modes=("lora", "full", "unrelated"), steps=4, measure_every=2, rank=4, retain_facts=4,
        text_batch=2, learning_rate=1e-2, full_learning_rate=1e-2,
    )  # fmt: skip
    found = relearning.evaluate(edited, selection, options, JOB)
    assert checksum(model) == before
    assert [n for n, _ in model.hf.named_parameters()] == names
    assert not any(p.requires_grad for p in model.hf.parameters()) and not model.hf.training
    assert found.arrays["relearning.lora.held_out"].axes[0].labels == ("0", "2", "4")
    summary = found.summary
    for mode in ("lora", "full"):
        name = f"relearning.{mode}.relearned"
        end, start = (summary[f"{name}.{q}_probability.after"] for q in ("target", "start"))
        assert end > start + 0.2
    # Before its first step every attack meets the same edited model.
    starts = {summary[f"relearning.{m}.held_out.start_probability.after"] for m in options.modes}
    assert max(starts) - min(starts) < 1e-5
    # Retain facts stand beside at every point, and each fact has its row.
    assert found.arrays["relearning.full.retain"].axes[0].labels == ("0", "2", "4")
    rows = found.evaluation.facts.rows
    assert len(rows) == 3 * (2 + len(divide(selection.retain).tested))
    assert {row[2] for row in rows} == {"forget", "retain"}


def test_the_base_is_attacked_in_the_same_way_and_stands_before(edited, model, selection) -> None:
    options = relearning.Options(
        modes=("unrelated",), steps=2, measure_every=2, rank=2, retain_facts=2, text_batch=1
    )
    both = relearning.evaluate(edited, selection, options, JOB)
    alone = relearning.evaluate(BeforeAfter(model), selection, options, JOB)
    name = "relearning.unrelated.held_out.target_probability.before"
    assert both.summary[name] == pytest.approx(alone.summary[name], rel=1e-5)
    assert both.summary[name] > 0.6
    assert not any(key.endswith(".after") for key in alone.summary)
    spared = options.model_copy(update={"attack_base": False})
    found = relearning.evaluate(edited, selection, spared, JOB)
    assert not any(key.endswith(".before") for key in found.summary)
    assert "relearning.unrelated.held_out.base" not in found.arrays


def test_relearning_wants_a_retain_fact_that_nothing_was_trained_on(edited, facts) -> None:
    for retain in ((), facts[2:3]):
        selection = Selection(forget=facts[:2], retain=retain)
        with pytest.raises(UserError, match="expected at least 2"):
            relearning.evaluate(edited, selection, relearning.Options(), JOB)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_adapters_fit_other_families(build_model, selection, family) -> None:
    model = build_model(family)
    before = checksum(model)
    options = relearning.Options(
        modes=("lora",), steps=2, rank=2, retain_facts=2, text_batch=1, fact_batch=1
    )
    relearning.evaluate(BeforeAfter(model), selection, options, JOB)
    assert checksum(model) == before


def test_a_rank_above_the_width_is_cut_to_it(model) -> None:
    with adapters.lora(model, 4096, 32.0, 0.0) as parameters:
        assert max(min(p.shape) for p in parameters) == model.d_model
        for module in model.hf.modules():
            if hasattr(module, "lora_A"):
                assert module.scaling["default"] == 32.0 / model.d_model
    with adapters.lora(model, 3, 32.0, 0.0) as parameters:
        assert {min(p.shape) for p in parameters} == {3}


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_adapters_multiplied_into_the_weights_learn_as_pefts_own_forward(
    build_model, selection, family, monkeypatch
) -> None:
    model, found = build_model(family), []
    parts = relearn.split_facts(selection, 2, 0)
    options = relearning.Options(steps=6, measure_every=2, learning_rate=1e-2, rank=4)
    for _ in range(2):
        found.append(relearn.relearn(model, parts, "lora", options, JOB))
        monkeypatch.setattr(adapters, "_multiply_in", lambda wrapped: None)
    merged, own = found
    assert np.ptp(own.relearned.mean(1)) > 0.01, "the attack has moved something"
    for group in ("relearned", "held_out", "retain"):
        np.testing.assert_allclose(getattr(merged, group), getattr(own, group), rtol=1e-3)


def test_an_attack_on_the_same_weights_is_made_once_for_relearning_and_verdict(
    edited, facts, monkeypatch
) -> None:
    forget_all()
    selection, made, own = Selection(forget=facts[:2], retain=facts[2:]), [], relearn.relearn

    def count(model, parts, mode, *more):
        made.append((mode, checksum(model)))
        return own(model, parts, mode, *more)

    monkeypatch.setattr(relearn, "relearn", count)
    options = relearning.Options(steps=1, measure_every=5, retain_facts=8)
    found = relearning.evaluate(edited, selection, options, JOB)
    assert len(made) == len(set(made)) == 4
    told = verdict.evaluate(
        edited, selection, verdict.Options(relearn_steps=1, retain_facts=4), JOB
    )
    assert len(made) == 4
    name = "relearning.lora.held_out"
    assert told.summary[f"verdict.{name}.after"] == pytest.approx(
        found.summary[f"{name}.target_probability.after"]
    )
    relearning.evaluate(edited, selection, options.model_copy(update={"alpha": 16.0}), JOB)
    assert len(made) == 8
    forget_all()


def test_halves_are_disjoint_whole_and_drawn_by_the_seed(facts) -> None:
    one, two = halves(facts, 3, "facts.forget")
    assert sorted(f.id for f in one + two) == sorted(f.id for f in facts)
    assert (one, two) == halves(facts, 3, "facts.forget") != halves(facts, 4, "facts.forget")
    with pytest.raises(UserError, match="expected at least 2"):
        halves(facts[:1], 0, "facts.forget")


def losses_of(model, *parts) -> list[float]:
    feeds = [(fact_rows(model, part), len(part)) for part in parts]
    return Together(model, feeds).losses(torch.Generator()).tolist()


def test_the_attack_loss_is_the_mean_negative_log_probability(model, facts) -> None:
    (loss,) = losses_of(model, facts[:3])
    probabilities = statement_probabilities(model, facts[:3])[0]
    n_tokens = [len(row.labels) - row.labels.count(-100) for row in fact_rows(model, facts[:3])]
    assert loss == pytest.approx(-np.log(probabilities).sum() / sum(n_tokens), rel=1e-4)


def test_parts_that_share_a_forward_pass_have_their_own_losses(model, facts, monkeypatch) -> None:
    parts = facts[:3], facts[3:5]
    alone = [one for part in parts for one in losses_of(model, part)]
    for least in (prefix.LEAST_SAVED, 1):
        monkeypatch.setattr(prefix, "LEAST_SAVED", least)
        assert losses_of(model, *parts) == pytest.approx(alone, rel=1e-4)


def test_hidden_states_are_those_of_hugging_face(model, facts) -> None:
    found = hidden_states(model, facts[:3], "subject")
    prompt = encode_fact(model, facts[1])
    with torch.no_grad():
        out = model.hf(torch.tensor([prompt.ids]), output_hidden_states=True)
    for depth in range(model.n_layers):  # the last one that Hugging Face gives is normed
        own = out.hidden_states[depth][0, prompt.subject[1] - 1]
        torch.testing.assert_close(found[depth, 1], own, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_states_put_in_at_any_depth_of_their_own_model_change_nothing(
    build_model, facts, family
) -> None:
    model = build_model(family)
    batch = pad(model, [encode_fact(model, f) for f in facts[:3]])
    states = all_states(model, batch)
    with torch.no_grad():
        plain = model.logits(batch.ids, batch.mask, batch.position_ids)[:, -1]
    for depth, hidden in enumerate(states):
        torch.testing.assert_close(
            logits_from(model, batch, hidden, depth), plain, atol=1e-4, rtol=1e-4
        )
    read = lens(model, batch, states)
    torch.testing.assert_close(read[-1], plain.log_softmax(-1), atol=1e-4, rtol=1e-4)
    assert not any("forward" in vars(block) for block in model.blocks)


def test_base_states_bring_the_fact_back_above_the_edit(edited, selection) -> None:
    found = patch_back.evaluate(edited, selection, patch_back.Options(), JOB)
    table = found.arrays["patch_back.base_into_edited"].values
    assert table.shape == (2, 5)
    # The edit lies in blocks 0 and 1: base states put in after them meet unchanged blocks.
    assert (table[:, 2:] > 0.8).all() and (table[:, 0] < 0.3).all()
    assert 1 <= found.summary["patch_back.depth.after"] <= 2
    assert "2 of 2 facts are no longer said" in found.caption
    at = found.evaluation.facts.columns.index("depth of return after")
    depths = [row[at] for row in found.evaluation.facts.rows]
    assert np.mean(depths) == found.summary["patch_back.depth.after"]
    with pytest.raises(UserError, match="no edit"):
        patch_back.evaluate(BeforeAfter(edited.base), selection, patch_back.Options(), JOB)


def test_a_depth_is_asked_only_of_facts_that_were_said_and_are_no_more() -> None:
    patched = np.array([[0.1, 0.9, 0.8], [0.9, 0.9, 0.9], [0.0, 0.6, 0.1], [0.02, 0.02, 0.02]])
    before, after = np.array([0.9, 0.9, 0.9, 0.02]), np.array([0.1, 0.9, 0.0, 0.0])
    found = patch_back._depths(patched, before, after, 0.5)
    # Back from depth 1 on; still said; back once but not for good; never known.
    assert found[[0, 2]].tolist() == [1, 3] and np.isnan(found[[1, 3]]).all()
    assert "half of them are said again" in patch_back._caption(found[:2], ("e", "0", "1"))
    assert "nothing to bring back" in patch_back._caption(found[[1, 3]], ("e", "0", "1"))
    assert "at no depth" in patch_back._caption(found[2:3], ("e", "0", "1"))


def test_probes_read_retain_facts_and_shuffled_answers_do_not(edited, facts) -> None:
    many = tuple(
        fact.model_copy(update={"id": f"{fact.id}-{i}"}) for i in range(4) for fact in facts[2:]
    )
    selection = Selection(forget=facts[:2], retain=many)
    found = latent_probes.evaluate(edited, selection, latent_probes.Options(), JOB)
    summary = found.summary
    assert summary["latent_probes.last.retain.accuracy.before"] > 0.9
    assert summary["latent_probes.mean.retain.shuffled.before"] < 0.7
    assert found.arrays["latent.forget.target_read.after"].values.shape == (5,)
    before = statement_probabilities(edited.base, facts[:2])[0].mean()
    lens_last = found.arrays["latent.forget.lens_target.before"].values[-1]
    assert lens_last == pytest.approx(before, rel=0.05)


def test_latent_probes_say_what_they_lack(edited, selection) -> None:
    with pytest.raises(UserError, match="it needs 2 answers, and 10 facts"):
        latent_probes.evaluate(edited, selection, latent_probes.Options(), JOB)


def test_soft_prompts_lower_their_loss_and_leave_the_model(edited, model, selection) -> None:
    before = checksum(model)
    options = soft_prompts.Options(steps=8, n_vectors=2, retain_facts=2)
    found = soft_prompts.evaluate(edited, selection, options, JOB)
    losses = found.arrays["soft_prompts.losses"].values
    assert losses.shape == (4, 8) and (losses[:, -1] < losses[:, 0]).all()
    assert checksum(model) == before
    summary = found.summary
    for group in ("held_out", "trained", "retain"):
        assert f"soft_prompts.{group}.target_probability.before" in summary
    asked = {row[0] for row in found.evaluation.facts.rows if row[2] == "forget"}
    plain = statement_probabilities(model, halves(selection.forget, 0, "facts.forget")[1])[0]
    assert summary["soft_prompts.held_out.start_probability.before"] == pytest.approx(
        plain.mean(), rel=1e-4
    )
    assert asked == {fact.id for fact in selection.forget}


def test_starts_stop_where_nothing_is_left_to_bring_out(model, facts, monkeypatch) -> None:
    options = soft_prompts.Options(steps=4, n_vectors=2)
    long = _soft.attack(model, facts[:2], {"held_out": facts[2:4]}, options, JOB).losses
    between = float(long[:, 1:3].max(0).mean())
    assert long[:, 2].max() < between < long[:, 1].max()
    monkeypatch.setattr(_soft, "LEARNED", between)
    short = _soft.attack(model, facts[:2], {"held_out": facts[2:4]}, options, JOB).losses
    np.testing.assert_allclose(short[:, :3], long[:, :3], rtol=1e-4)
    assert (short[:, 3] == short[:, 2]).all() and (long[:, 3] < long[:, 2]).all()


def test_fewer_than_four_starts_are_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 4"):
        soft_prompts.Options(restarts=3)


def test_starts_that_are_trained_together_end_as_they_do_alone(model, facts, monkeypatch) -> None:
    options = soft_prompts.Options(steps=3, n_vectors=2)
    groups = {"held_out": facts[2:4]}
    together = _soft.attack(model, facts[:2], groups, options, JOB)
    monkeypatch.setattr(_soft, "ROWS", 2)
    alone = _soft.attack(model, facts[:2], groups, options, JOB)
    np.testing.assert_allclose(together.losses, alone.losses, rtol=1e-4)
    np.testing.assert_allclose(together.attacked["held_out"], alone.attacked["held_out"], rtol=1e-3)


def test_rounding_to_nearest_is_that_of_a_hand_computed_row() -> None:
    weight = torch.tensor([[0.7, -0.34, 0.06, 0.0]])
    # 4 bits: 7 steps of 0.1 each way.
    torch.testing.assert_close(round_to_nearest(weight, 4), torch.tensor([[0.7, -0.3, 0.1, 0.0]]))
    assert torch.equal(round_to_nearest(torch.zeros(2, 3), 8), torch.zeros(2, 3))


def test_nf4_takes_the_nearest_of_sixteen_values_per_block() -> None:
    weight = torch.zeros(1, 65)
    weight[0, :3] = torch.tensor([2.0, -0.2, 1.4])
    weight[0, 64] = 0.5
    rounded = round_nf4(weight)
    expected = torch.tensor([2.0, 2 * -0.0910500, 2 * 0.7229568])
    torch.testing.assert_close(rounded[0, :3], expected)
    assert rounded[0, 64].item() == 0.5 and rounded[0, 10].item() == 0.0


def test_quantization_measures_every_kind_and_puts_weights_back(edited, model, selection) -> None:
    before = checksum(model)
    found = quantization.evaluate(edited, selection, quantization.Options(), JOB)
    assert checksum(model) == before
    summary = found.summary
    full = summary["quantization.full.retain.target_probability.after"]
    eight = summary["quantization.8.retain.target_probability.after"]
    assert eight == pytest.approx(full, abs=0.05)
    assert summary["quantization.nf4.forget.edit_probability.after"] >= 0
    formats = {row[3] for row in found.evaluation.facts.rows}
    assert formats == {"full precision", "8 bits", "4 bits", "nf4"}


def test_without_a_gpu_the_result_says_that_the_librarys_nf4_is_not_available(
    model, selection
) -> None:
    options = quantization.Options(kinds=("nf4",), retain_facts=1)
    found = quantization.evaluate(BeforeAfter(model), selection, options, JOB)
    assert "bitsandbytes' own nf4 is not available here: it needs an NVIDIA GPU" in found.caption
    options = quantization.Options(kinds=("8",), retain_facts=1)
    assert "nf4" not in quantization.evaluate(BeforeAfter(model), selection, options, JOB).caption


@pytest.mark.gpu
def test_on_a_gpu_nf4_is_that_of_bitsandbytes() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU: would have compared bitsandbytes' nf4 with the project's own rounding")
    pytest.importorskip("bitsandbytes")
    weight = torch.randn(33, 48, generator=torch.Generator().manual_seed(0))
    by_library = round_nf4(weight.cuda()).cpu()
    torch.testing.assert_close(round_nf4(weight), by_library, atol=1e-5, rtol=1e-5)


def test_an_edit_scores_on_rewrites_and_spares_neighbours(edited, facts) -> None:
    trained = divide(facts[2:]).trained
    forget = tuple(
        f.model_copy(
            update={"neighbourhood": tuple(o.text for o in trained if o.target == f.target)}
        )
        for f in facts[:2]
    )  # fmt: skip
    selection = Selection(forget=forget, retain=facts[2:])
    found = paraphrase.evaluate(edited, selection, paraphrase.Options(), JOB)
    summary = found.summary
    assert summary["paraphrase.rewrite.score.before"] == 0.0
    assert summary["paraphrase.rewrite.score.after"] == 1.0
    assert summary["paraphrase.neighbourhood.score.after"] == 1.0
    ps = summary["paraphrase.paraphrase.score.after"]
    expected = 3 / (1 + 1 / ps + 1) if ps else 0.0
    assert summary["paraphrase.score.after"] == pytest.approx(expected)
    # EM by hand: the edit target's probability per token less the target's.
    answers = [(f.text, f" {a}") for f in forget for a in (f.edit_target, f.target)]
    scores = score_answers(edited.base, answers)
    per_token = (scores.log_prob / scores.n_tokens).exp().view(-1, 2)
    by_hand = float((per_token[:, 0] - per_token[:, 1]).mean())
    assert summary["paraphrase.rewrite.magnitude.before"] == pytest.approx(by_hand, abs=1e-5)


def test_without_neighbourhood_there_is_no_total_score(edited, selection) -> None:
    found = paraphrase.evaluate(edited, selection, paraphrase.Options(), JOB)
    assert "paraphrase.score.after" not in found.summary
    assert "paraphrase.paraphrase.score.after" in found.summary


def test_permuted_multiple_choice_is_at_chance_without_the_fact(build_model, facts) -> None:
    more = facts[0].model_copy(update={"id": "x", "subject": "Ivy", "target": "golf"})
    selection = Selection(forget=facts[:2], retain=(*facts[2:4], more))
    models = BeforeAfter(build_model("llama"))
    found = multiple_choice.evaluate(models, selection, multiple_choice.Options(), JOB)
    name = "multiple_choice.choice.forget.target_probability.before"
    assert found.summary[name] == pytest.approx(0.25, abs=0.02)
    shares = found.arrays["choice.letters.before"].values
    assert shares[0].sum() == pytest.approx(1.0)


def test_multiple_choice_says_why_it_cannot_ask(model, selection) -> None:
    with pytest.raises(UserError, match="3 different answers"):
        multiple_choice.evaluate(BeforeAfter(model), selection, multiple_choice.Options(), JOB)


def test_side_effects_measure_held_out_text_and_each_relation(
    edited, selection, monkeypatch
) -> None:
    monkeypatch.setattr(side_effects, "known", lambda model, facts: list(facts))
    options = side_effects.Options(sentences=6, facts_per_relation=2)
    found = side_effects.evaluate(edited, selection, options, JOB)
    perplexity = found.evaluation.aggregates[0]
    lines = held_out_passages(edited.base)[:6]
    tokens = [len(passage_ids(edited.base, line, 101)) - 1 for line in lines]
    by_hand = np.exp(np.average(general_losses(edited.base, 6), weights=tokens))
    assert perplexity.before.mean == pytest.approx(by_hand, rel=1e-5)
    assert perplexity.before.low < perplexity.before.mean < perplexity.before.high
    # The set has one relation; the bundled ones are asked beside it.
    assert "side_effects.city_country.target_probability.after" in found.summary
    asked = [row for row in found.evaluation.facts.rows if row[4] == "city_country"]
    assert len(asked) == 2 and {row[2] for row in asked} == {"retain"}
    loss = general_losses(edited.base, 6)
    assert found.summary["side_effects.general.loss.before"] == pytest.approx(loss.mean(), rel=1e-5)
    assert found.summary["side_effects.general.divergence.before"] == 0.0
    assert found.summary["side_effects.general.divergence.after"] > 0
    assert "side_effects.sport.target_probability.after" in found.summary


def test_the_loss_of_text_is_that_of_hugging_face(model) -> None:
    ids = torch.tensor([passage_ids(model, held_out_passages(model)[0], 101)])
    with torch.no_grad():
        expected = model.hf(ids, labels=ids).loss.item()
    assert general_losses(model, 1)[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("taught", "weak"), [(0.1, True), (0.9, False)])
def test_an_attack_that_does_not_teach_its_own_half_is_said_to_be_weak(taught, weak):
    rows = np.array([[0.0, 0.0], [taught, taught]])
    kept = np.ones((2, 2))
    said = relearning._say("lora", Relearned((0, 20), rows, 0 * rows, kept))
    assert ("too weak" in said) == weak
    assert "too weak" not in relearning._say("unrelated", Relearned((0, 20), rows, rows, kept))

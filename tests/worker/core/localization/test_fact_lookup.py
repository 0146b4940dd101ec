import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from tests.worker.core.localization import lookup, planted
from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization._probe import PENALTY, held_out, kernels, shuffled, split
from worker.core.localization._redraw import hanging, redraw
from worker.core.localization._rise import choose_layers, find_rise, heights, intervals, tail
from worker.core.localization.fact_lookup import Options, localize


def find(model, facts, pool=(), **options):
    job = Job(0, Quiet(), pool=tuple(pool))
    return localize(
        model, facts, Options(**({"min_probability": 0.0, "keep_raised": True} | options)), job
    )


def test_the_layer_in_which_the_answer_is_looked_up_is_suggested_by_the_probe():
    found = find(lookup.make_lookup(), lookup.FACTS[:4], lookup.FACTS)
    curve = found.arrays["probe.full_prompt"].values
    assert curve[lookup.LOOKUP_LAYER - 1] < 0.75 and curve[lookup.LOOKUP_LAYER] > 0.95
    assert found.attribution.suggested.components == (f"blocks.{lookup.LOOKUP_LAYER}.mlp",)
    assert found.summary["components.top_mlp"] == f"blocks.{lookup.LOOKUP_LAYER}.mlp"
    assert found.summary["lookup.by"] == "probe"
    assert found.arrays["probe.confidence"].values[lookup.LOOKUP_LAYER] > 0.9
    assert found.summary["lookup.confidence"] > 0.5
    assert found.summary["lookup.rise_found"] is True and found.summary["lookup.p"] < 0.05
    assert found.summary["lookup.start"] == found.summary["lookup.end"] == lookup.LOOKUP_LAYER
    for name in ("probe.full_prompt", "probe.bare_name", "probe.control", "probe.control_high"):
        assert found.arrays[name].values.shape == (4,)


def test_the_planted_store_is_found_by_path_patching():
    model = planted.make_planted()
    found = find(model, planted.FACTS[:4], by="path_patching", top_heads=1, corruption="mean")
    assert found.summary["lookup.first_extraction_layer"] == 2
    assert found.summary["lookup.extraction_heads"] == "2.0"
    assert found.attribution.suggested.components == (planted.STORE,)
    assert found.arrays["path.heads"].values.shape == (4, 4)


def test_facts_of_many_answers_are_looked_up_by_path_patching():
    model = planted.make_planted()
    assert find(model, planted.FACTS[:4], top_heads=1).summary["lookup.by"] == "path_patching"
    with pytest.raises(UserError, match="at least 10 facts each"):
        find(model, planted.FACTS[:4], by="probe")


def test_a_chosen_fact_of_a_rare_answer_is_left_out_of_the_probe_by_name():
    rare = lookup.FACTS[0].model_copy(update={"id": "odd one", "target": "hockey"})
    found = find(lookup.make_lookup(), (*lookup.FACTS[1:4], rare), (*lookup.FACTS, rare))
    assert found.summary["lookup.by"] == "probe"
    assert [(one.id, "'hockey'" in one.reason) for one in found.left_out] == [("odd one", True)]
    assert found.attribution.suggested.components == (f"blocks.{lookup.LOOKUP_LAYER}.mlp",)
    with pytest.raises(UserError, match="at least 10 facts each"):
        find(lookup.make_lookup(), [rare], (*lookup.FACTS, rare), by="probe")


def answers(curve, n_facts=2000, seed=0):
    """Right and wrong answers of facts, each right where its own draw is below the curve."""
    drawn = np.random.default_rng(seed).random(n_facts)
    return (drawn < np.asarray(curve)[:, None]).astype(float)


def test_a_rise_goes_from_what_the_embeddings_tell_to_the_plateau():
    # Chance .33; embeddings .36, then .74, .84, .93 after layers 0, 1 and 2, and a plateau.
    rise = find_rise(answers([0.36, 0.74, 0.84, 0.93, 0.93, 0.94, 0.93, 0.94, 0.93]))
    assert (rise.start, rise.end) == (0, 2)
    assert rise.plateau == pytest.approx(0.93, abs=0.02)
    later = find_rise(answers([0.33, 0.33, 0.33, 0.33, 0.57, 0.75, 0.97, 1.0, 1.0]))
    assert (later.start, later.end) == (3, 5)
    assert later.before == pytest.approx(0.33, abs=0.02)


def test_one_layers_noise_hardly_moves_a_rise():
    clean = [0.7] * 4 + [0.75, 0.8, 0.85] + [0.9] * 20
    dip = list(clean)
    dip[2], dip[15], dip[20] = 0.66, 0.93, 0.87
    assert find_rise(answers(clean)).start == find_rise(answers(dip)).start == 3
    assert abs(find_rise(answers(clean)).end - find_rise(answers(dip)).end) <= 1


def test_a_long_rise_is_narrowed_to_the_layers_that_gain_most():
    slow = np.array([0.33, 0.38, 0.45, 0.65, 0.85, 0.90, 0.95, 1.0, 1.0])
    rise = find_rise(answers(slow))
    assert len(choose_layers(slow, rise, 8)) == rise.end - rise.start + 1
    assert choose_layers(slow, rise, 2) == (2, 3)
    even = np.linspace(0.3, 1.0, 9)
    assert choose_layers(even, find_rise(answers(even)), 3)[0] == find_rise(answers(even)).start


def test_intervals_hold_the_rise_and_are_narrower_for_more_facts():
    curve = [0.4] * 4 + [0.5, 0.65, 0.8] + [0.85] * 8
    few, many = (intervals(answers(curve, n), 50, 0) for n in (60, 3000))
    assert many["plateau"].low < 0.85 < many["plateau"].high
    assert many["plateau"].high - many["plateau"].low < few["plateau"].high - few["plateau"].low
    assert many["end"].low <= 6 <= many["end"].high + 1


def test_noise_rises_no_higher_than_shuffled_answers_and_planted_knowledge_does():
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(90) % 3
    noise = torch.randn(9, 90, 24, generator=generator)
    planted = noise.clone()
    planted[4:, :, :3] += 2.0 * torch.nn.functional.one_hot(labels, 3)
    tried = torch.cat([labels[None], shuffled(labels, 40, 0)])
    p = {}
    for name, features in (("noise", noise), ("planted", planted)):
        rises = heights(held_out(kernels(features), tried, 5, 0).numpy())
        p[name] = tail(rises[0], rises[1:])
    assert p["planted"] == pytest.approx(1 / 41)
    assert p["noise"] > 0.05


def test_facts_that_the_model_does_not_know_give_no_rise_and_no_mask():
    found = find(lookup.make_lookup(), lookup.FACTS[:4], lookup.FACTS, min_probability=0.001)
    assert found.summary["lookup.rise_found"] is False
    assert "No rise found: the model does not know these facts" in found.caption
    assert found.attribution.suggested is None and "components" not in found.arrays
    assert found.attribution.no_choice == found.caption
    assert "lookup.layers" not in found.summary and "probe.full_prompt" in found.arrays


def test_answers_that_the_embeddings_tell_give_no_rise():
    facts = [
        fact.model_copy(update={"target": "ball" if fact.subject[0] in "abcde" else "golf"})
        for fact in lookup.FACTS
    ]
    told = [fact.model_copy(update={"subject": fact.subject[0] * 3}) for fact in facts]
    found = find(lookup.make_lookup(), told[:4], told)
    assert found.summary["lookup.rise_found"] is False, found.caption
    assert "a probe for the answer gains" in found.caption


def test_probes_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 90, 6, generator=generator)
    labels = features[1, :, :3].argmax(-1)
    ours = held_out(kernels(features), labels[None], 5, 0)[0].numpy()
    scaled = (features - features.mean(1, keepdim=True)) / features.std(1, keepdim=True)
    for layer in range(3):
        for part in split(labels, 5, 0):
            kept = np.setdiff1d(np.arange(90), part)
            x, y = scaled[layer].numpy(), labels.numpy()
            mean = np.eye(3)[y[kept]].mean(0)
            theirs = Ridge(alpha=PENALTY * 6, fit_intercept=False)
            theirs.fit(x[kept], np.eye(3)[y[kept]] - mean)
            said = (theirs.predict(x[part]) + mean).argmax(1)
            np.testing.assert_array_equal(ours[layer, part], said == y[part])


def test_probes_are_judged_on_facts_they_never_saw():
    labels = torch.arange(60) % 3
    noise = torch.randn(2, 60, 80, generator=torch.Generator().manual_seed(0))
    assert held_out(kernels(noise), labels[None], folds=5, seed=0).float().mean() < 0.6
    parts = split(labels, 5, seed=0)
    assert sorted(torch.cat(parts).tolist()) == list(range(60))
    assert all((labels[part].bincount() == 4).all() for part in parts)


def test_a_choice_by_paths_tells_how_sure_it_is():
    model = planted.make_planted()
    found = find(model, planted.FACTS[:4], by="path_patching", top_heads=1, corruption="mean")
    assert found.summary["lookup.confidence"] == 1.0
    assert found.summary["lookup.same_extraction_layer"] == 1.0
    assert found.arrays["path.confidence"].values[int(planted.STORE.split(".")[1])] == 1.0
    assert "choose the same MLPs" in found.caption
    one = find(model, planted.FACTS[:1], by="path_patching", top_heads=1, corruption="mean")
    assert one.summary["lookup.confidence"] is None and "one fact" in one.caption


def test_a_choice_that_hangs_on_next_to_nothing_is_said():
    names, sizes = ("a", "b", "c"), np.array([0.0206, 0.3, 0.002])
    said = hanging(names, sizes, np.array([0.98, 1.0, 0.0]), 0.02)
    assert list(said) == ["a"] and "a is in by 0.0006" in said["a"]
    unsure = hanging(names, sizes, np.array([0.6, 1.0, 0.3]), 0.02)
    assert list(unsure) == ["a", "c"] and "c is out" in unsure["c"]


def test_drawn_means_are_weighted_as_the_mean_is():
    scores, weights = np.array([[1.0], [3.0]]), np.array([0.25, 0.75])
    drawn = redraw(scores, weights, 200, 0)[:, 0]
    assert set(np.round(drawn, 9)) == {1.0, 2.5, 3.0}

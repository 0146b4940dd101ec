"""Faithfulness as a quotient of means, its interval, its curve, and rankings beside chance."""

import numpy as np
import pytest

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from tests.worker.core.models.families import make_model
from worker.core.models.components import component_parameters
from worker.core.patching.cases import prepare
from worker.core.patching.change import Change
from worker.core.patching.corruption import corrupt
from worker.core.patching.faithfulness import (
    Curve,
    Patched,
    prefixes,
    random_like,
    rank,
    sizes,
)


def make_patched(model, facts, corruption="other_subject", metric="logit_diff", batch_size=16):
    prepared = prepare(model, facts, 0.0, True)
    items = corrupt(model, prepared, corruption, samples=1, noise_level=3.0, seed=0)
    return Patched(model, items, metric, batch_size)


def test_the_planted_circuit_alone_is_faithful_and_nothing_is_without_it():
    patched = make_patched(make_planted(), FACTS)
    circuit = [STORE, CARRY]
    assert patched.faithfulness(patched.values(circuit)) == pytest.approx(1, abs=0.1)
    assert abs(patched.faithfulness(patched.values(circuit, without=True))) < 0.1
    assert patched.faithfulness(patched.values(patched.names)) == pytest.approx(1)
    assert patched.faithfulness(patched.values([])) == 0


def test_batches_do_not_change_what_is_measured():
    one, many = (make_patched(make_planted(), FACTS[:5], batch_size=n) for n in (16, 2))
    np.testing.assert_allclose(one.values([STORE]), many.values([STORE]), atol=1e-4)


def test_faithfulness_is_a_quotient_of_means_over_the_facts_that_count():
    """By hand: (2 + 1) / (4 + 2) over two facts, 2 / 4 over the first alone; shares 0.5 and 0.5."""
    patched = make_patched(make_planted(), FACTS[:3])
    patched.clean, patched.zero = np.array([5.0, 3.0, 1.001]), np.array([1.0, 1.0, 1.0])
    patched.used = np.array([True, True, False])
    assert patched.faithfulness(np.array([3.0, 2.0, 99.0])) == pytest.approx(3 / 6)
    assert patched.faithfulness(np.array([3.0, 5.0, 99.0])) == pytest.approx(6 / 6)
    low, high = patched.interval(np.array([3.0, 5.0, 99.0]), seed=0)
    assert (low, high) == pytest.approx((0.5, 2.0))


def test_areas_are_those_of_the_curve():
    curve = Curve((0.0, 0.5, 1.0), (0.0, 1.0, 1.0))
    assert curve.cpr == pytest.approx(0.75) and curve.cmd == pytest.approx(0.25)
    over = Curve((0.0, 1.0), (1.5, 1.5))
    assert over.cpr == pytest.approx(1.5) and over.cmd == pytest.approx(0.5)


def test_a_random_ranking_has_the_same_kinds_and_sizes_at_every_step():
    model = make_planted()
    ranked = rank(model, {STORE: 2.0, CARRY: -1.0}, seed=0)
    assert ranked[:2] == [STORE, CARRY] and len(set(ranked)) == 20
    drawn = random_like(model, ranked, seed=1)
    assert sorted(drawn) == sorted(ranked) and drawn != ranked
    assert [".head." in name for name in drawn] == [".head." in name for name in ranked]
    counts = prefixes(len(ranked))
    assert sizes(model, drawn, counts) == pytest.approx(sizes(model, ranked, counts))
    parameters = component_parameters(model)
    total = 4 * (parameters[STORE] + 4 * parameters[CARRY])
    assert sizes(model, ranked, [1]) == pytest.approx((parameters[STORE] / total,))


def test_a_head_without_a_score_has_its_attentions():
    model = make_model("llama")
    ranked = rank(model, {"blocks.1.attn": 3.0, "blocks.0.mlp": 1.0}, seed=0)
    heads = [f"blocks.1.attn.head.{h}" for h in range(model.n_heads)]
    assert set(ranked[: len(heads)]) == set(heads) and ranked[len(heads)] == "blocks.0.mlp"


def stub(clean: list[float], zero: list[float], rounding: float = 0.0) -> Patched:
    """Facts by their clean and their wholly corrupted metric."""
    made = Patched.__new__(Patched)
    made.clean, made.zero = np.array(clean), np.array(zero)
    made.changes = [Change(*pair, rounding) for pair in zip(clean, zero, strict=True)]
    made.used = np.ones(len(clean), bool)
    return made


def test_differences_cancel_where_their_sum_is_no_more_than_rounding_can_make() -> None:
    patched = stub([1.0, 0.0, 5.0], [0.0, 0.75, 0.0], rounding=0.125)
    patched.used = np.array([True, True, False])
    assert patched.cancels(), "0.25 of 2 times 0.125"
    assert not patched.cancels(np.array([0, 0])), "the draw is of those that count"
    patched.used[2] = True
    assert not patched.cancels()
    assert stub([0.0, 1.0], [0.5, 0.0], 0.25).cancels(), "of either sign"
    assert not stub([0.0, 0.0], [1.0, 0.5], 0.125).cancels(), "a sum far below 0 is a difference"


def test_an_interval_leaves_out_draws_that_cancel() -> None:
    """Draws of both facts cancel; of one alone they give 0.25, of the other 0.5."""
    patched = stub([1.0, 0.0], [0.0, 1.0])
    low, high = patched.interval(np.array([0.25, 0.5]), seed=0, draws=50)
    assert (low, high) == pytest.approx((0.25, 0.5))
    one = stub([4.0], [0.0])
    assert one.interval(np.array([1.0]), seed=0, draws=3) == (0.25, 0.25)
    only = stub([1.0], [1.0], rounding=1.0)
    only.zero = np.array([0.5])
    assert only.interval(np.array([1.0]), seed=0, draws=2) == (1.0, 1.0), "no draw is left"


def test_an_interval_is_the_middle_95_percent_of_the_draws() -> None:
    clean, zero, values = np.ones(5), np.zeros(5), np.array([0.0, 0.1, 0.5, 0.7, 1.0])
    found = stub(list(clean), list(zero)).interval(values, seed=3, draws=400)
    drawn = np.random.default_rng(3).integers(0, 5, (400, 5))
    means = np.sort(values[drawn].mean(1))
    assert found == pytest.approx((np.quantile(means, 0.025), np.quantile(means, 0.975)))


def test_facts_are_measured_clean_and_wholly_corrupted_in_order_of_length() -> None:
    facts = [f.model_copy(update={"subject": f.subject * (3 - i)}) for i, f in enumerate(FACTS[:3])]
    patched = make_patched(make_planted(), facts, "random_tokens", "probability", batch_size=2)
    assert [item.case.fact.id for item in patched.items] == [f.id for f in reversed(facts)]
    assert len(patched.mixers) == 2 and [len(m.pairs.items) for m in patched.mixers] == [2, 1]
    expected = [item.case.probability for item in patched.items]
    np.testing.assert_allclose(patched.clean, expected, atol=1e-5)
    np.testing.assert_allclose(patched.zero, patched.values([]), atol=1e-6)
    np.testing.assert_allclose(patched.values(patched.names, without=True), patched.zero, atol=1e-6)
    np.testing.assert_allclose(patched.values([], without=True), patched.clean, atol=1e-5)
    assert patched.used.all() and len(patched.used) == 3


def test_an_attention_stands_for_all_its_heads() -> None:
    patched = make_patched(make_planted(), FACTS[:2])
    heads = [name for name in patched.names if name.startswith("blocks.2.attn.")]
    assert len(heads) == 4
    whole = patched.values([STORE, "blocks.2.attn"])
    np.testing.assert_array_equal(whole, patched.values([STORE, *heads]))
    assert not np.allclose(whole, patched.values([STORE]))


def test_components_without_a_number_come_last_and_ties_by_chance() -> None:
    model = make_planted()
    scores = {STORE: 0.0, CARRY: float("nan"), "blocks.3.mlp": float("inf"), "blocks.0.mlp": -0.5}
    ranked = rank(model, scores, seed=0)
    assert ranked[:2] == ["blocks.0.mlp", STORE], "a score of 0 is a score"
    orders = {tuple(rank(model, scores, seed)) for seed in range(3)}
    assert len(orders) == 3 and ranked == rank(model, scores, seed=0)


def test_a_curve_is_measured_at_shares_of_all_components_each_once() -> None:
    assert prefixes(20) == [0, 1, 2, 4, 10, 20]
    assert prefixes(10, (0.5, 0.52, 0.26)) == [0, 3, 5, 10]
    assert prefixes(1000) == [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]


def test_sizes_are_shares_of_the_parameters_of_all_that_is_ranked() -> None:
    model = make_planted()
    parameters = component_parameters(model)
    ranked = rank(model, {}, seed=0)
    total = sum(parameters[name] for name in ranked)
    found = sizes(model, ranked, [0, 2, len(ranked)])
    two = parameters[ranked[0]] + parameters[ranked[1]]
    assert found == pytest.approx((0.0, two / total, 1.0))

import numpy as np
import pytest

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from tests.worker.core.models.families import make_model
from worker.core.models.components import component_parameters
from worker.core.patching.cases import prepare
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

"""The memory of a localization, counted by hand where one part of it decides."""

from dataclasses import replace

import pytest

from worker.contract.facts import Fact
from worker.core.ahead.memory_of_edit import kept_by
from worker.core.ahead.memory_of_localization import FORMULAS, localization_bytes
from worker.core.ahead.scene import Scene, look
from worker.core.models.model import Model
from worker.core.registry import methods


@pytest.fixture
def scene(model: Model, facts: tuple[Fact, ...]) -> Scene:
    """Eight facts of a vocabulary so small that it counts for nothing beside the rest."""
    found = look(model, facts)
    return replace(found, size=replace(found.size, d_vocab=1), lengths=(20,) * 8, facts=8)


def told(scene: Scene, model: Model, name: str, **options: object) -> float:
    made = methods("localization")[name].options.model_validate(options)
    return localization_bytes(scene, model, name, made)


def test_every_localization_has_a_formula() -> None:
    assert set(FORMULAS) == set(methods("localization"))


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_longer_prompts_take_more(scene: Scene, model: Model, name: str) -> None:
    longer = replace(scene, lengths=(200,) * 8, before=scene.before + 100)
    assert told(longer, model, name) > told(scene, model, name) > 0


def test_a_split_of_the_logit_keeps_residuals_keys_values_and_what_components_write(
    scene: Scene, model: Model
) -> None:
    wide = replace(scene, size=replace(scene.size, mlp=1))  # so that asking takes less
    width, layers = model.d_model, model.n_layers
    keys = scene.size.attention * model.n_kv_heads / model.n_heads
    numbers = width + layers * (width + 2 * keys + 2 * width + scene.size.attention)
    assert told(wide, model, "direct_logit_attribution") == 4 * 8 * 20 * numbers


def test_a_lens_takes_most_of_a_large_vocabulary_where_every_state_is_read(
    scene: Scene, model: Model
) -> None:
    large = replace(scene, size=replace(scene.size, d_vocab=10**9))
    read = 2 * 4 * 10**9 * (20 + 2) * model.n_layers
    assert told(large, model, "logit_lens") == pytest.approx(read, rel=1e-3)


def test_gradients_take_a_graph_for_every_row_of_a_batch_and_no_more(
    scene: Scene, model: Model
) -> None:
    graph = 20 * kept_by(scene, model, 0, model.n_layers)
    eight, four = (told(scene, model, "attribution_patching", batch_size=n) for n in (8, 4))
    assert eight > 8 * graph and eight == pytest.approx(2 * four)
    assert told(scene, model, "attribution_patching", batch_size=100) == eight


def test_every_point_between_the_prompts_has_a_graph_of_its_own(scene: Scene, model: Model) -> None:
    once, five, nine = (told(scene, model, "eap_ig", steps=n) for n in (1, 5, 9))
    assert once == told(scene, model, "eap")
    assert nine - five == pytest.approx(five - once)
    assert five - once > 4 * 4 * 20 * kept_by(scene, model, 0, model.n_layers)


def test_restored_states_take_what_is_behind_the_subject_and_no_more_facts_than_fit(
    scene: Scene, model: Model
) -> None:
    late = replace(scene, before=15)
    assert told(late, model, "causal_tracing") < told(scene, model, "causal_tracing")
    many = replace(scene, facts=800)
    assert told(many, model, "causal_tracing") == told(scene, model, "causal_tracing")

"""The memory of an edit, counted by hand where one part of it decides."""

from dataclasses import replace

import pytest

from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.core.ahead.memory_of_edit import COUNTED, OWN, edit_bytes, kept_by
from worker.core.ahead.scene import Scene, look
from worker.core.closed_form.memory import READ_TOGETHER
from worker.core.models.batches import PIECE_BYTES
from worker.core.models.model import Model
from worker.core.registry import methods

MASK = Mask(components=("blocks.1.mlp", "blocks.2.mlp"), n_parameters=1000)


@pytest.fixture
def scene(model: Model, facts: tuple[Fact, ...]) -> Scene:
    return look(model, facts[:3], retain=facts[3:], mask=MASK)


def told(scene: Scene, model: Model, name: str, **options: object) -> float:
    made = methods("unlearning")[name].options.model_validate({"learning_rate": 0.1} | options)
    return edit_bytes(scene, model, name, made)


@pytest.mark.parametrize("name", COUNTED)
def test_every_counted_method_takes_something_and_of_more_parameters_more(
    scene: Scene, model: Model, name: str
) -> None:
    given = GIVEN.get(name, {"learning_rate": 0.1})
    options = methods("unlearning")[name].options.model_validate(given)
    once = edit_bytes(scene, model, name, options)
    assert once > 0
    more = edit_bytes(replace(scene, parameters=scene.parameters + 100), model, name, options)
    # A stack of three edits: as they were, twice, and each edit's own.
    own = 4 * (5 + OWN.get(name, 0))
    assert more - once == (0 if name in CLOSED else 100 * own)


CLOSED = {"rome": 1, "memit": 2, "alphaedit": 2}
GIVEN: dict[str, dict[str, object]] = {name: {} for name in CLOSED} | {
    "stack_edits": {"edits": ("a", "b", "c")}
}
SOLVING = {"rome": 2, "memit": 3, "alphaedit": 4}


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_form_counts_its_layers_second_moments_and_what_one_is_solved_with(
    scene: Scene, model: Model, name: str
) -> None:
    wide = replace(scene, size=replace(scene.size, mlp=20_000))
    options = methods("unlearning")[name].options.model_validate({"covariance_tokens": 100})
    found = edit_bytes(wide, model, name, options)
    square, weight = 20_000**2, 20_000 * model.d_model
    solved = 8 * (square * SOLVING[name] + 3 * weight)
    assert found == CLOSED[name] * (8 * square + 4 * weight) + solved


@pytest.mark.parametrize(("n_tokens", "read"), [(1_000, 20 * 80), (10_000, READ_TOGETHER)])
def test_second_moments_count_the_passages_asked_for_as_wide_as_the_longest_but_no_more_than_fit(
    scene: Scene, model: Model, n_tokens: int, read: int
) -> None:
    mixed = replace(scene, sentences=(20,) * 20 + (80,) * 20)
    options = methods("unlearning")["rome"].options.model_validate({"covariance_tokens": n_tokens})
    inner, width = scene.size.mlp, model.d_model
    own = 8 * inner**2 + 4 * inner * width
    each = 4 * (3 * inner + 5 * width + inner) + 8 * inner
    assert edit_bytes(mixed, model, "rome", options) == own + read * each


def test_a_large_vocabulary_counts_three_times_for_as_many_places_as_a_piece_has(
    scene: Scene, model: Model
) -> None:
    size = replace(scene.size, d_vocab=1_000_000)
    large = replace(scene, size=size, sentences=(30,), lowest=0)
    assert PIECE_BYTES // 4_000_000 < 30, "one passage at a time"
    alone = {"retain_weight": 0, "forget_batch": 1, "general_batch": 8, "context": 20}
    kept = kept_by(large, model, 2, model.n_layers - 2)
    own = 20 * large.parameters
    left = 4 * model.d_model * 20 * 256
    found = told(large, model, "grad_diff", **alone, general_loss="divergence")
    probed = 4_000_000 * 2 * large.keep * min(32, 3 + large.parted[1])
    assert found == own + left + max(probed, 20 * (kept + 3 * 4_000_000))
    wider = told(large, model, "grad_diff", **alone | {"context": 30}, general_loss="cross_entropy")
    assert wider == own + max(probed, 30 * (kept + 3 * 4_000_000))


def test_steering_representations_takes_nothing_of_the_vocabulary_but_for_the_probes(
    scene: Scene, model: Model
) -> None:
    large = replace(scene, size=replace(scene.size, d_vocab=10**9))
    asked = min(32, large.facts + large.parted[1]) * large.keep * 4 * 10**9 * 2
    assert asked < told(large, model, "rmu") < 1.001 * asked

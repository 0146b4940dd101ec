"""The search for settings: where it walks, what it tries, what it is judged by, what it leaves."""

import math
from types import SimpleNamespace

import pytest
import torch

from tests.worker.core.measured import forget_all
from worker.contract.errors import Diverged
from worker.contract.mask import Mask
from worker.contract.progress import Event, Quiet
from worker.contract.retain import divide
from worker.core.asking.continuations import Continued
from worker.core.editing import edit as _edit
from worker.core.editing.parts import parts_of
from worker.core.findings import Job
from worker.core.models.deltas import checksum
from worker.core.registry import method
from worker.core.training import rehearsal as _rehearsal
from worker.core.training import settle as _settle
from worker.core.training.auto import (
    FACTOR,
    FEWEST_TRIALS,
    MOST_RATES,
    MOST_TRIALS,
    Tried,
    best_of,
    is_asked,
    search,
    starting_point,
)
from worker.core.training.judge import Judge, Judged, least_retained
from worker.core.training.material import gather
from worker.core.training.options import Training
from worker.core.training.rehearsal import in_trials, rehearse_on
from worker.core.training.trainer import Probe, Trainer
from worker.core.unlearning.localized_finetuning import _terms as _unlearn_terms

MLPS = Mask(components=("blocks.0.mlp", "blocks.1.mlp", "blocks.2.mlp"))
JOB = Job(seed=0, report=Quiet())
FAST = {"general_sentences": 4, "context": 8, "general_batch": 2, "steps": 2}


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no edit here continue prompts: that takes longer than trials, and has its own tests.

    Nothing is kept of the silence: other tests in this process edit the same weights.
    """
    monkeypatch.setattr(_edit, "_spoken", lambda model, weights: Continued((), (), 0.0, ()))


def peak(best: float, width: float = 1.0, **judged: float):
    """An attempt whose score falls off from the best rate, in half orders of magnitude."""

    def attempt(options: Training, number: int) -> Tried[Training]:
        away = abs(math.log10(options.learning_rate / best)) / width
        given = {"goal": 0.9, "retain": 1.0, "divergence": 0.0} | judged
        return Tried(options, Judged(**given, score=-away), "done")

    return attempt


@pytest.mark.parametrize("best", [1e-3, 3e-3, 4e-4, 1e-2])
def test_rates_are_tried_until_the_best_has_a_worse_neighbour_on_either_side(best: float) -> None:
    tried = search(Training(learning_rate=1e-3), peak(best), set())
    rates = sorted(one.options.learning_rate for one in tried)
    chosen = best_of(tried).options.learning_rate
    assert abs(math.log10(chosen / best)) <= math.log10(FACTOR) / 2 + 0.01
    assert rates[0] < chosen < rates[-1] and len(tried) <= MOST_RATES


def test_a_best_far_away_is_walked_to_no_longer_than_the_search_may_take() -> None:
    tried = search(Training(learning_rate=1e-3), peak(1e-9), set())
    assert len(tried) == MOST_RATES
    assert best_of(tried).options.learning_rate == min(t.options.learning_rate for t in tried)


def test_rates_above_a_lost_one_are_not_tried() -> None:
    def attempt(options: Training, number: int) -> Tried[Training]:
        if options.learning_rate > 2e-4:
            return Tried(options, None, "lost")
        return peak(1e-4)(options, number)

    tried = search(Training(learning_rate=1e-3), attempt, set())
    assert max(one.options.learning_rate for one in tried) == 1e-3
    assert best_of(tried).options.learning_rate == pytest.approx(1e-4, rel=0.01)


def test_nothing_above_the_start_is_tried_where_below_it_is_better() -> None:
    tried = search(Training(learning_rate=1e-3), peak(3e-4), set())
    assert [one.options.learning_rate for one in tried] == pytest.approx([1e-3, 3.16e-4, 1e-4])


def test_where_every_trial_is_lost_the_first_reason_is_said() -> None:
    attempt = lambda options, number: Tried(options, None, f"lost {number}.")  # noqa: E731
    with pytest.raises(Diverged, match=r"All 5 trials .* lost 0\. Give a learning rate"):
        search(Training(), attempt, set())


def test_what_is_lacking_is_tried_and_what_was_given_by_hand_is_not() -> None:
    start = Training(learning_rate=1e-3, steps=10, forget_weight=1.0)
    weak = search(start, peak(1e-3, goal=0.2), set())[3:]
    assert [(t.options.forget_weight, t.options.steps) for t in weak] == [(2.5, 10), (1.0, 20)]
    harmful = search(start, peak(1e-3, retain=0.3), set())[3:]
    assert [(t.options.forget_weight, t.options.steps) for t in harmful] == [(0.4, 10)]
    assert len(search(start, peak(1e-3, goal=0.2), {"forget_weight", "steps"})) == 3
    assert len(search(start, peak(1e-3), set())) == FEWEST_TRIALS == 3, "what fits needs no more"
    assert len(search(start, peak(1e-9, goal=0.2), set())) == MOST_TRIALS == 7, "as is said before"


def test_what_harms_once_it_reaches_is_tried_with_a_smaller_weight() -> None:
    def attempt(options: Training, number: int) -> Tried[Training]:
        away = abs(math.log10(options.learning_rate / 1e-3))
        if options.steps == 20:
            judged = Judged(1.0, 0.99, 0.0, -0.1) if options.forget_weight < 1 else (
                Judged(1.0, 0.8, 0.0, -0.5)
            )  # fmt: skip
        else:
            judged = Judged(0.5, 1.0, 0.0, -1 - away)
        return Tried(options, judged, "done")

    start = Training(learning_rate=1e-3, steps=10, forget_weight=1.0)
    tried = search(start, attempt, set())
    assert [(t.options.forget_weight, t.options.steps) for t in tried[3:]] == [
        (2.5, 10), (1.0, 20), (0.4, 20),
    ]  # fmt: skip
    assert best_of(tried).options.forget_weight == 0.4


def test_steps_are_doubled_twice_at_most() -> None:
    def attempt(options: Training, number: int) -> Tried[Training]:
        away = abs(math.log10(options.learning_rate / 1e-3))
        return Tried(options, Judged(0.1, 1.0, 0.0, options.steps / 1000 - away), "done")

    start = Training(learning_rate=1e-3, steps=10, forget_weight=0.0)
    tried = search(start, attempt, {"forget_weight"})
    assert [t.options.steps for t in tried] == [10, 10, 10, 20, 40]


def test_the_start_is_scaled_by_width_and_a_given_number_of_steps_stays(model) -> None:
    own = starting_point(model, Training())
    assert own.learning_rate == pytest.approx(2e-3 * min(1, 128 / model.d_model), rel=0.01)
    assert own.search == "off"
    assert starting_point(model, Training(steps=7)).steps == 7


def wide(d_model: int, parameters: int):
    """What a starting point looks at of a model."""
    hf = SimpleNamespace(parameters=lambda: [torch.empty(parameters, device="meta")])
    return SimpleNamespace(d_model=d_model, hf=hf)


@pytest.mark.parametrize(
    ("d_model", "parameters", "rate", "steps"),
    [(128, 2_000_000, 2e-3, 100), (576, 134_515_008, 4.44e-4, 20), (4096, 7 * 10**9, 6.25e-5, 20)],
)
def test_the_start_goes_by_the_models_size(d_model, parameters, rate, steps) -> None:
    own = starting_point(wide(d_model, parameters), Training())
    assert own.learning_rate == pytest.approx(rate, rel=0.01)
    assert own.steps == steps
    assert (own.general_batch, own.retain_batch, own.context) == (2, 8, 64)


def test_a_methods_own_sizes_are_scaled_too_and_what_is_given_is_not() -> None:
    options = method("unlearning", "ft_l").options
    own = starting_point(wide(576, 10**8), options())
    assert own.epsilon == pytest.approx(0.02 * 128 / 576, rel=0.01)
    given = starting_point(wide(576, 10**8), options(epsilon=0.1, general_batch=5, steps=9))
    assert (given.epsilon, given.general_batch, given.steps) == (0.1, 5, 9)


def test_a_masks_rate_goes_by_the_steps_and_not_by_the_width() -> None:
    options = method("unlearning", "weight_masking").options
    rate, steps = options().learning_rate, options().steps
    own = starting_point(wide(576, 134_515_008), options())
    assert own.learning_rate == pytest.approx(rate * steps / 20)
    given = starting_point(wide(576, 134_515_008), options(steps=50))
    assert given.learning_rate == pytest.approx(rate * steps / 50) and given.steps == 50


@pytest.mark.parametrize(("best", "floor"), [(-0.3, 0.724), (0.0, 0.8), (-9.0, 0.5)])
def test_a_trial_is_stopped_where_it_can_no_longer_be_the_best(best: float, floor: float) -> None:
    trial = in_trials(Training(), "some text", least_retained(best))
    assert trial.retain_floor == pytest.approx(floor, abs=0.001)


@pytest.mark.parametrize("given", [{}, {"forget_batch": 2, "context": 16, "general_batch": 1}])
def test_a_trial_takes_as_many_steps_over_no_more_rows(given) -> None:
    options = Training(**given)
    trial = in_trials(options, "some text")
    assert (trial.steps, trial.learning_rate) == (options.steps, options.learning_rate)
    for name in ("forget_batch", "retain_batch", "general_batch", "context"):
        assert getattr(trial, name) <= getattr(options, name), name
    assert trial.general_text == "some text" and trial.steps / trial.probe_every <= 2


def test_no_more_passages_are_kept_than_the_steps_draw(model, selection) -> None:
    parts = parts_of(model, MLPS)
    options = Training(**FAST | {"general_sentences": 100, "steps": 3})
    material = gather(model, selection, parts, 0, options, JOB, "unlearn")
    assert material.general is not None and len(material.general) == 3 * FAST["general_batch"]


def test_a_rate_given_by_hand_and_a_search_switched_off_are_used_as_given(model) -> None:
    assert is_asked(model, Training())
    assert not is_asked(model, Training(learning_rate=2e-3))
    assert not is_asked(model, Training(search="off"))
    assert not is_asked(model, Training(search="small"))


def test_nothing_that_the_edit_is_judged_by_is_rehearsed_on(model, selection) -> None:
    stage = rehearse_on(model, selection, Training(), "edit", JOB)
    assert stage is not None
    used = {f.id for f in (*stage.selection.forget, *stage.selection.retain)}
    parts = divide(selection.retain)
    assert not used & {f.id for f in (*parts.tested, *selection.forget)}
    assert {f.id for f in stage.selection.forget} <= {f.id for f in parts.trained}
    assert not set(stage.passages) & set(stage.general_text.splitlines())
    again = rehearse_on(model, selection, Training(), "edit", Job(9, Quiet()))
    assert again == stage, "whatever the seed"


def test_too_few_retain_facts_leave_the_rate_by_width_and_it_is_said(model, selection) -> None:
    few = selection.model_copy(update={"retain": selection.retain[:1]})
    found = run(model, few)
    assert "settings.trials" not in found.summary
    assert "from the model's width alone" in found.caption


def test_the_score_goes_on_where_probabilities_are_at_one(model, selection) -> None:
    parts = parts_of(model, MLPS)
    options = Training(**FAST)
    material = gather(model, selection, parts, 0, options, JOB, "unlearn")
    judge = Judge(model, material, "unlearn", ["one two three four five.", "six seven eight nine."])
    before = judge.measure()
    assert before.divergence == pytest.approx(0, abs=1e-6)
    assert before.retain == pytest.approx(1, abs=1e-6)
    start, scores = parts.copy(), []
    for size in (0.01, 0.1, 1.0):
        torch.manual_seed(0)
        with torch.no_grad():
            parts.load([value + size * torch.randn_like(value) for value in start])
        scores.append(judge.measure())
    parts.load(start)
    harms = [one.divergence for one in scores]
    assert harms == sorted(harms) and harms[0] < harms[-1]


def run(model, selection, seed: int = 0, events: list[Event] | None = None, **options):
    found = method("unlearning", "localized_finetuning")
    job = Job(seed, Quiet(events.append if events is not None else None))
    return found.function(model, selection, MLPS, found.options(**FAST | options), job)


def test_a_run_without_a_rate_searches_first_tells_every_trial_and_keeps_them(
    model, selection, monkeypatch
) -> None:
    forget_all()
    before, events = checksum(model), []
    found = run(model, selection, events=events, retain_floor=0)
    rows = found.tables["settings"].rows
    assert 3 <= len(rows) <= 7 and found.summary["settings.trials"] == len(rows)
    scored = [row for row in rows if row[3] is not None]
    best = max(scored, key=lambda row: row[3])
    assert found.summary["settings.learning_rate"] == best[0]
    assert f"peak learning rate of {best[0]:g}" in found.caption
    assert "settings come from" in found.caption
    assert checksum(model) == before and found.receipt.base_restored
    done = [event.fraction for event in events if event.type == "progress"]
    assert done == sorted(done), "the search is the first stage of the run"
    assert found.arrays["settings.goal"].axes[0].name == "rate"

    monkeypatch.setattr(_settle, "search", lambda *_: pytest.fail("searched again"))
    again = run(model, selection, seed=5, retain_floor=0)
    assert again.tables["settings"].rows == rows


def test_what_was_found_serves_its_own_method_mask_size_and_facts_alone(model, selection) -> None:
    own, other = (method("unlearning", name).options() for name in ("npo", "simnpo"))
    stage = rehearse_on(model, selection, own, "unlearn", JOB)
    few = rehearse_on(
        model,
        selection.model_copy(update={"forget": selection.forget[:1]}),
        own,
        "unlearn",
        JOB,
    )
    assert stage is not None and few is not None
    small = parts_of(model, Mask(components=MLPS.components[:1]))
    whole = parts_of(model, MLPS)
    keys = [
        _settle.settings_key(model, stage, whole.n_parameters, own, "unlearn"),
        _settle.settings_key(model, stage, whole.n_parameters, other, "unlearn"),
        _settle.settings_key(model, stage, small.n_parameters, own, "unlearn"),
        _settle.settings_key(model, few, whole.n_parameters, own, "unlearn"),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == _settle.settings_key(
        model, stage, parts_of(model, MLPS).n_parameters, own, "unlearn"
    )


def test_a_trial_whose_watched_facts_are_below_the_floor_is_stopped_at_the_first_look(
    model, selection, monkeypatch
) -> None:
    monkeypatch.setattr(_rehearsal, "FLOOR", 2.0)  # no fact is known twice as well
    found = method("unlearning", "localized_finetuning")
    steps: list[int] = []

    def train(material, options, share, job):
        terms = _unlearn_terms(material, options)
        probe = Probe("edit", material.forget, material.edit, material.watched)
        trainer = Trainer(model, material.parts, terms, probe, options, job)
        try:
            return trainer.train()
        finally:
            steps.append(len(trainer.losses["forget"]))

    options = found.options(**FAST | {"steps": 30})
    stage = rehearse_on(model, selection, options, "edit", JOB)
    assert stage is not None
    before, parts = checksum(model), parts_of(model, MLPS)
    _settle._Stand(model, stage, parts, 0, JOB, "edit", train).attempt(options, 0)
    assert steps == [15], "of 30"
    assert checksum(model) == before, "the next trial begins where this one did"


@pytest.mark.parametrize("name", ["weight_masking", "task_vector", "npo", "rmu"])
def test_every_kind_of_training_searches_in_the_same_way(name, model, selection) -> None:
    forget_all()
    found = method("unlearning", name)
    before = checksum(model)
    options = FAST | {"retain_floor": 0, "keep": "last"}
    options |= {"beta": 0.1} if name == "weight_masking" else {}
    try:
        edit = found.function(model, selection, MLPS, found.options(**options), JOB)
    except Diverged as error:
        assert "settings" not in str(error), error
    else:
        assert edit.summary["settings.trials"] >= 3
    assert checksum(model) == before

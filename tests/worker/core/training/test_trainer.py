"""The trainer on one number: which steps it takes, which checkpoint it keeps, when it stops."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.worker.core.localization.planted import FACTS, make_planted
from worker.contract.errors import Diverged, NotFinite
from worker.contract.progress import Event, Quiet
from worker.core.editing.parts import Part, Parts
from worker.core.findings import Job
from worker.core.training import trainer as tested
from worker.core.training.options import Training
from worker.core.training.pool import Pool, fact_rows, pool
from worker.core.training.trainer import PROBED, Probe, Term, Trained, Trainer


class Rows:
    """A pool whose batches are the rows' places, and whose pieces are of two rows."""

    def __init__(self, n: int, labels: tuple[int, ...] = ()) -> None:
        self.n, self.labels, self.asked = n, labels, []

    def __len__(self) -> int:
        return self.n

    def batch(self, index: Tensor) -> Any:
        return SimpleNamespace(index=index.tolist())

    def pieces(self, index: Tensor, n_predictions: int) -> list[Any]:
        self.asked.append(n_predictions)
        parts = [part.tolist() for part in index.split(2)]
        return [
            SimpleNamespace(index=part, n_labels=sum(self.labels[i] for i in part))
            for part in parts
        ]


def nothing(logits: Any, batch: Any) -> Any:
    return logits


def term(rows: Any, size: int, **more: Any) -> Term:
    return Term("one", 1.0, rows, size, nothing, **more)


def test_a_pool_that_fits_a_batch_is_taken_whole_and_in_order() -> None:
    generator = torch.Generator()
    for size in (3, 4):
        ((batch, share),) = term(Rows(3), size).draw(generator, 10)
        assert (batch.index, share) == ([0, 1, 2], 1.0)


def test_of_a_larger_pool_every_row_comes_once_before_any_comes_twice_in_a_batchs_order() -> None:
    generator, one = torch.Generator().manual_seed(0), term(Rows(5), 2)
    drawn = [one.draw(generator, 10)[0][0].index for _ in range(10)]
    assert all(len(batch) == 2 for batch in drawn)
    flat = [place for batch in drawn for place in batch]
    assert sorted(flat) == sorted(list(range(5)) * 4)
    assert sum(batch == sorted(batch) for batch in drawn) == 10


def test_a_mean_over_labels_is_run_in_pieces_with_each_ones_share() -> None:
    rows = Rows(3, labels=(1, 2, 5))
    drawn = term(rows, 4, averages_labels=True).draw(torch.Generator(), 1000)
    assert [(batch.index, share) for batch, share in drawn] == [([0, 1], 3 / 8), ([2], 5 / 8)]
    assert rows.asked == [tested.PIECE_BYTES // 4000]


# --- the probe


def asked(*answers: str) -> tuple[Pool, list[float]]:
    """A pool of facts with these answers, and each one's probability, asked alone."""
    model, facts, found = make_planted(), FACTS[: len(answers)], []
    words = [getattr(fact, answer) for fact, answer in zip(facts, answers, strict=True)]
    for fact, word in zip(facts, words, strict=True):
        ids = torch.tensor([model.tokenizer(fact.text)["input_ids"]])
        with torch.no_grad():
            p = model.hf(ids).logits[0, -1].softmax(-1)
        found.append(float(p[model.tokenizer.convert_tokens_to_ids(f"Ġ{word}")]))
    return pool(model, fact_rows(model, facts, words)), found


def test_a_probe_asks_the_first_rows_of_each_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PROBED == 32
    monkeypatch.setattr(tested, "PROBED", 2)
    forget, known = asked("target")
    edit, wrong = asked("edit_target", "edit_target")
    retain, mixed = asked("target", "edit_target", "target")
    found = Probe("edit", forget, edit, retain).measure(make_planted(), 0)
    assert list(found) == ["forget_probability", "edit_probability", "retain_probability"]
    assert found["forget_probability"] == pytest.approx(known[0], abs=1e-5)
    assert found["edit_probability"] == pytest.approx(sum(wrong) / 2, abs=1e-5)
    assert found["retain_probability"] == pytest.approx(sum(mixed[:2]) / 2, abs=1e-5)
    assert known[0] > 0.9 and abs(sum(mixed[:2]) / 2 - sum(mixed) / 3) > 0.1
    assert list(Probe("unlearn", forget, None, None).measure(make_planted(), 0)) == [
        "forget_probability"
    ]


def test_a_score_is_the_goal_times_what_is_retained() -> None:
    measured = {"forget_probability": 0.25, "edit_probability": 0.5, "retain_probability": 0.5}
    rows: Any = None
    edit, unlearn = (Probe(goal, rows, rows, rows) for goal in ("edit", "unlearn"))
    assert (edit.goal(measured), edit.score(measured)) == (0.5, 0.25)
    assert (unlearn.goal(measured), unlearn.score(measured)) == (0.75, 0.375)
    assert unlearn.score({"forget_probability": 0.25}) == 0.75


# --- training


class Heard:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.job = Job(0, Quiet(self.events.append))

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.type == kind]


class World:
    """A model of one number w, pulled by its terms; a probe reads its goal off the number."""

    def __init__(self, start: float = 1.0) -> None:
        self.w = nn.Parameter(torch.tensor([start]))
        hf = nn.Module()
        hf.register_parameter("w", self.w)
        self.model: Any = SimpleNamespace(hf=hf, d_vocab=7)
        self.parts = Parts([Part("w", self.w, None, self.w)])
        self.asked: list[tuple[float, int]] = []
        self.goal: Callable[[float], float] = lambda w: 1 - w
        self.retained: Callable[[float], float] | None = None
        self.heard = Heard()

    @property
    def at(self) -> float:
        return float(self.w.detach())

    def measure(self, model: Any, layer: int) -> dict[str, float]:
        assert model is self.model
        self.asked.append((self.at, layer))
        found = {"forget_probability": 1 - self.goal(self.at)}
        return found | ({"retain_probability": self.retained(self.at)} if self.retained else {})

    def term(
        self, name: str = "pull", weight: float = 1.0, slope: float = 1.0, unit: str = "nats"
    ) -> Term:
        """A loss of slope · w."""
        rows: Any = Rows(4)
        return Term(name, weight, rows, 8, lambda value, batch: slope * value.sum(),
                    forward=lambda batch, layer: self.w, unit=unit)  # fmt: skip

    def trainer(self, *terms: Term, more: dict[str, Any] | None = None, **options: Any) -> Trainer:
        probe = Probe("unlearn", None, None, None)  # type: ignore[arg-type]
        probe.measure = self.measure  # type: ignore[method-assign]
        asked = Training(**({"steps": 4, "learning_rate": 0.1, "probe_every": 1} | options))
        return Trainer(
            self.model, self.parts, terms or [self.term()], probe, asked, self.heard.job,
            **(more or {}),
        )  # fmt: skip


def rates(steps: int, rate: float = 0.1) -> list[float]:
    """How far AdamW goes at each step under a gradient that is always the same."""
    return [rate * (1 + math.cos(math.pi * i / steps)) / 2 for i in range(steps)]


def test_steps_are_adams_under_a_cosine_and_every_loss_is_kept() -> None:
    world = World()
    found = world.trainer().train()
    places = [1.0]
    for far in rates(4):
        places.append(places[-1] - far)
    assert world.at == pytest.approx(places[4], abs=1e-5)
    assert found.losses == {"pull": pytest.approx(places[:4], abs=1e-5)}
    assert found.units == {"pull": "nats"}
    assert (found.steps, found.kept_step, found.stopped) == (4, 4, "")
    assert list(found.probes) == [0, 1, 2, 3, 4]
    assert found.probes[0] == {"forget_probability": 1.0}
    assert found.score == pytest.approx(1 - places[4], abs=1e-5)
    assert not world.w.requires_grad or world.w.grad is None
    assert found.seconds >= found.probe_seconds >= 0


def test_decay_pulls_the_parameters_themselves() -> None:
    world = World(2.0)
    world.trainer(weight_decay=0.5, steps=1, keep="last").train()
    assert world.at == pytest.approx(2.0 * (1 - 0.1 * 0.5) - 0.1, abs=1e-5)


class Plain(torch.optim.SGD):
    """Steps that are the gradient itself."""

    def __init__(self, world: World) -> None:
        super().__init__([world.w], lr=1.0)


def test_terms_add_up_by_their_weights_over_all_passes_of_a_step() -> None:
    world = World(10.0)
    terms = [
        world.term("a", weight=2.0, slope=0.5),
        world.term("b", weight=0.25, slope=-1.0, unit="nats, negated"),
        world.term("gone", weight=0.0, slope=100.0),
    ]
    found = world.trainer(
        *terms, more={"optimizer": Plain(world)}, accumulation=4, steps=1, keep="last", clip=1000
    ).train()
    assert world.at == pytest.approx(10 - (2.0 * 0.5 - 0.25))
    # The mean over the passes, unweighted: 0.5 · 10 and −10.
    assert found.losses == {"a": [pytest.approx(5.0)], "b": [pytest.approx(-10.0)]}
    assert found.units == {"a": "nats", "b": "nats, negated"}


def test_a_long_gradient_is_cut_to_the_bound() -> None:
    world = World(10.0)
    world.trainer(
        world.term(slope=7.0), more={"optimizer": Plain(world)}, steps=1, clip=0.5, keep="last"
    ).train()
    assert world.at == pytest.approx(9.5, abs=1e-4)


def test_a_loss_that_reaches_no_parameter_changes_nothing_and_is_counted() -> None:
    world, rows = World(), Rows(2)
    still: Any = Term("still", 1.0, rows, 2, lambda value, batch: torch.tensor(3.0),
                      forward=lambda batch, layer: None)  # type: ignore  # fmt: skip
    found = world.trainer(still, world.term(), steps=2, keep="last").train()
    assert found.losses["still"] == [3.0, 3.0] and world.at < 1.0


def test_where_kept_states_enter_is_told_to_forward_and_probe() -> None:
    world, layers = World(), []

    def forward(batch: Any, layer: int) -> Tensor:
        layers.append(layer)
        return world.w

    rows: Any = Rows(2)
    one = Term("one", 1.0, rows, 2, lambda value, batch: value.sum(), forward=forward)
    world.trainer(one, more={"lowest_layer": 3}, steps=1).train()
    assert layers == [3] and {layer for _, layer in world.asked} == {3}


def test_without_a_forward_of_its_own_a_term_reads_the_answers_logits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, asked = World(), []

    def logits_at_answers(model: Any, batch: Any, layer: int) -> Tensor:
        asked.append((model, batch.index, layer))
        return world.w

    monkeypatch.setattr(tested, "logits_at_answers", logits_at_answers)
    rows: Any = Rows(2)
    world.trainer(Term("one", 1.0, rows, 2, lambda value, batch: value.sum()), steps=1).train()
    assert asked == [(world.model, [0, 1], 0)]


def test_after_each_step_what_was_asked_is_done_before_the_values_are_written() -> None:
    world, seen = World(), []
    own = world.parts.write
    world.parts.write = lambda: (seen.append("written"), own())[1]  # type: ignore[method-assign]
    world.trainer(more={"after_step": lambda: seen.append("after")}, steps=2, keep="last").train()
    assert seen == ["after", "written"] * 2


def test_rows_are_drawn_by_the_seed() -> None:
    def drawn(seed: int) -> list[list[int]]:
        world, seen = World(), []
        world.heard.job = Job(seed, Quiet())
        rows: Any = Rows(6)
        one = Term("one", 1.0, rows, 2, lambda value, batch: (seen.append(batch.index),
                   value.sum())[1], forward=lambda batch, layer: world.w)  # type: ignore  # fmt: skip
        world.trainer(one).train()
        return seen

    assert drawn(1) == drawn(1) and len({str(drawn(seed)) for seed in range(3)}) == 3


# --- what is kept


def peak(best: float) -> Callable[[float], float]:
    return lambda w: 1 - abs(w - best)


def test_the_best_probed_checkpoint_is_kept_or_the_last() -> None:
    places = [1.0 - sum(rates(6)[:i]) for i in range(7)]
    for keep, step in (("best", 2), ("last", 6)):
        world = World()
        world.goal = peak(places[2])
        found = world.trainer(steps=6, keep=keep).train()
        assert found.kept_step == step and found.steps == 6
        assert world.at == pytest.approx(places[step], abs=1e-5)
        assert found.score == pytest.approx(1 - abs(places[step] - places[2]), abs=1e-5)


def test_probes_come_every_so_many_steps_and_at_the_end() -> None:
    found = World().trainer(steps=7, probe_every=3).train()
    assert list(found.probes) == [0, 3, 6, 7]


def test_of_equal_checkpoints_the_first_is_kept_and_one_without_a_number_never() -> None:
    world = World()
    world.goal = lambda w: 0.5 if w > 0.99 else 0.75
    assert world.trainer().train().kept_step == 1
    world = World()
    world.goal = lambda w: 0.0 if w > 0.99 else math.nan
    with pytest.raises(Diverged, match="no checkpoint is better"):
        world.trainer().train()


def test_no_checkpoint_better_than_the_beginning_is_an_error_with_what_to_change() -> None:
    world = World()
    world.goal = lambda w: w
    with pytest.raises(
        Diverged, match=r"After 4 steps .*raise the learning rate \(0\.1\)"
    ) as found:
        world.trainer().train()
    last = 1 - (1.0 - sum(rates(4)))
    assert f"'forget_probability': {last:.4f}"[:-2] in str(found.value)
    assert World().trainer(keep="last").train().kept_step == 4
    world = World()
    world.goal = lambda w: w
    assert world.trainer(keep="last").train().kept_step == 4


# --- when it stops


def test_it_stops_once_the_goal_is_reached() -> None:
    places = [1.0 - sum(rates(6)[:i]) for i in range(7)]
    world = World()
    found = world.trainer(steps=6, stop_goal=1 - places[2] - 1e-4).train()
    assert (found.steps, found.kept_step) == (2, 2)
    assert "the goal" in found.stopped and found.stopped.endswith("was reached at step 2")
    (told,) = world.heard.of("log")
    assert told.message == f"Stopped: {found.stopped}; kept step 2."
    assert World().trainer().train().stopped == "", "without a goal it goes on"


def test_it_is_lost_once_too_little_is_retained_and_the_best_before_is_kept() -> None:
    places = [1.0 - sum(rates(6)[:i]) for i in range(7)]
    for keep in ("best", "last"):
        world = World()
        world.retained = lambda w: 0.8 if w > places[3] + 1e-3 else 0.1
        found = world.trainer(steps=6, keep=keep).train()
        assert (found.steps, found.kept_step) == (3, 2)
        assert found.stopped == "retain probability fell from 0.80 to 0.10 at step 3"
        assert world.at == pytest.approx(places[2], abs=1e-5)


def test_what_just_reaches_the_floor_is_not_lost_and_what_is_no_number_is() -> None:
    world = World()
    world.retained = lambda w: 0.8 if w > 0.99 else 0.2
    assert world.trainer(keep="last").train().stopped == ""
    world = World()
    world.retained = lambda w: 0.8 if w > 0.99 else math.nan
    with pytest.raises(Diverged, match=r"lost its way: retain probability fell from 0\.80 to nan"):
        world.trainer(keep="last").train()


def test_it_stops_when_the_time_is_over_and_probes_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    world = World()

    def tick() -> None:
        clock[0] += 10.0

    monkeypatch.setattr(tested.time, "perf_counter", lambda: clock[0])
    trainer = world.trainer(more={"after_step": tick}, steps=9, probe_every=5, max_seconds=25)
    found = trainer.train()
    assert (found.steps, found.stopped) == (3, "25 s were over at step 3")
    assert list(found.probes) == [0, 3] and found.seconds == 30.0


def test_the_time_of_probes_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    world = World()
    own = world.measure

    def slow(model: Any, layer: int) -> dict[str, float]:
        clock[0] += 2.0
        return own(model, layer)

    world.measure = slow  # type: ignore[method-assign]
    monkeypatch.setattr(tested.time, "perf_counter", lambda: clock[0])
    found = world.trainer(steps=3).train()
    assert (found.probe_seconds, found.seconds) == (8.0, 8.0)


def test_a_loss_that_is_no_number_is_not_taken_and_the_best_before_is_kept() -> None:
    world = World()
    places = [1.0 - sum(rates(4)[:i]) for i in range(5)]
    one = world.term()
    one.loss = lambda value, batch: value.sum() * (math.nan if world.at < places[2] + 1e-3 else 1)
    found = world.trainer(one, keep="last").train()
    assert (found.steps, found.kept_step) == (2, 2)
    assert "a loss was not finite at step 3" in found.stopped and "'gradient'" in found.stopped
    assert world.at == pytest.approx(places[2], abs=1e-5)
    world = World()
    one = world.term()
    one.loss = lambda value, batch: value.sum() * math.nan
    with pytest.raises(
        Diverged, match=r"lost its way: a loss .* rate \(0\.1\) or the forget weight"
    ):
        world.trainer(one).train()
    assert world.at == 1.0


def test_logits_that_are_no_numbers_end_it_at_their_step() -> None:
    world = World()
    places = [1.0 - sum(rates(4)[:i]) for i in range(5)]

    def loss(value: Tensor, batch: Any) -> Tensor:
        if world.at < places[2] + 1e-3:
            raise NotFinite("No numbers.")
        return value.sum()

    one = world.term()
    one.loss = loss
    found: Trained = world.trainer(one).train()
    assert (found.stopped, found.kept_step, found.steps) == ("at step 3: No numbers.", 2, 2)
    assert world.at == pytest.approx(places[2], abs=1e-5)


# --- what is told


def test_progress_goes_through_its_own_share_of_the_run() -> None:
    world = World()
    world.trainer(more={"share": (0.2, 0.6)}).train()
    told = world.heard.of("progress")
    assert [event.fraction for event in told] == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6])
    assert told[1].message == "Step 1 of 4"


def test_points_of_the_curve_are_told_with_units_and_probes_about_fifty_times() -> None:
    world = World()
    world.trainer(steps=4, probe_every=4).train()
    points = [event.data for event in world.heard.of("partial")]
    assert [point["step"] for point in points] == [0, 1, 2, 3, 4]
    assert points[0] == {"step": 0, "units": {"pull_loss": "nats"}, "forget_probability": 1.0}
    assert points[1] == {"step": 1, "pull_loss": pytest.approx(1.0), "units": {"pull_loss": "nats"}}
    assert "forget_probability" in points[4]
    world = World()
    world.trainer(steps=100, probe_every=45, keep="last").train()
    told = [event.data["step"] for event in world.heard.of("partial")]
    assert told == sorted({*range(0, 101, 2), 45})

"""Relearning: what is trained on, how, when it is measured, and that nothing of it stays."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests.worker.core.localization.planted import FACTS, make_planted
from worker.contract.errors import UserError
from worker.contract.progress import Event, Quiet
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.findings import Job
from worker.core.models.deltas import checksum
from worker.core.training import relearn as tested
from worker.core.training.pool import fact_rows, text_rows
from worker.core.training.relearn import (
    Parts,
    Relearned,
    RelearnOptions,
    adapter_rate,
    relearn,
    relearn_once,
    split_facts,
)

PARTS = Parts(FACTS[:2], FACTS[2:3], FACTS[3:5], FACTS[5:7])
OPTIONS = RelearnOptions(steps=5, measure_every=2, general_text="one\ntwo\nthree", fact_batch=3)
BOUNDS = {
    # name: (default, lowest, highest, something below, something above)
    "steps": (20, 1, 1000, 0, 1001),
    "measure_every": (5, 1, 1000, 0, 1001),
    "learning_rate": (0.0, 0, 1, -0.1, 1.1),
    "full_learning_rate": (2e-4, 1e-9, 1, 0, 1.1),
    "rank": (512, 1, 4096, 0, 4097),
    "alpha": (32.0, 1e-9, 10_000, 0, 10_001),
    "dropout": (0.0, 0, 0.99, -0.1, 1),
    "fact_batch": (8, 1, 512, 0, 513),
    "text_batch": (16, 1, 512, 0, 513),
    "context": (128, 8, 8192, 7, 8193),
    "retain_facts": (64, 2, 100_000, 1, 100_001),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_an_option_has_its_default_and_is_taken_up_to_its_bounds_alone(name: str) -> None:
    default, lowest, highest, below, above = BOUNDS[name]
    assert getattr(RelearnOptions(), name) == default
    for value in (lowest, highest):
        assert getattr(RelearnOptions.model_validate({name: value}), name) == value
    for value in (below, above):
        with pytest.raises(ValidationError, match=name):
            RelearnOptions.model_validate({name: value})


def test_the_adapters_rate_goes_by_the_models_width_unless_one_is_given() -> None:
    def wide(d_model: int) -> Any:
        return SimpleNamespace(d_model=d_model)

    assert adapter_rate(wide(3072), RelearnOptions()) == pytest.approx(2e-4)
    assert adapter_rate(wide(128), RelearnOptions()) == pytest.approx(4.8e-3)
    assert adapter_rate(wide(128), RelearnOptions(learning_rate=0.5)) == 0.5


@pytest.mark.parametrize(("asked", "n"), [(4, 2), (5, 3), (2, 1), (99, 99)])
def test_half_of_the_retain_facts_are_trained_on_and_others_asked(asked: int, n: int) -> None:
    retain = tuple(
        FACTS[i % 12].model_copy(update={"id": f"r{i}", "subject": f"{i}A"}) for i in range(30)
    )
    selection = Selection(forget=tuple(FACTS[:5]), retain=retain)
    found, parts = split_facts(selection, asked, 0), divide(retain)
    assert len(found.relearned) == 2 and len(found.held_out) == 3
    assert {*found.relearned, *found.held_out} == set(FACTS[:5])
    assert len(found.kept) == min(n, len(parts.trained)) and set(found.kept) <= set(parts.trained)
    assert len(found.retain) == min(n, len(parts.tested)) and set(found.retain) <= set(parts.tested)
    others = {tuple(split_facts(selection, asked, seed).relearned) for seed in range(5)}
    assert len(others) > 1
    with pytest.raises(UserError) as raised:
        split_facts(Selection(forget=tuple(FACTS[:1]), retain=retain), asked, 0)
    assert raised.value.problems[0][0] == "facts.forget"


class Attack:
    """A stand-in for the training: it notes what it was asked, and spoils what it may train."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: dict[str, Any] = {}
        self.groups: Any = None
        self.n_trained = 0
        self.rows: dict[int, list[float]] = {}
        self.modes: list[bool] = []
        self.heard: list[Event] = []
        self.adapters: list[tuple[int, float, float]] = []
        self.drawn: list[float] = []
        self.model = make_planted.__wrapped__()
        monkeypatch.setattr(tested, "fine_tune", self._train)
        monkeypatch.setattr(tested, "lora", self._lora)
        monkeypatch.setattr(tested, "statement_probabilities", self._measured)

    def _train(
        self, model: Any, parameters: Any, groups: Any, *, each_step: Callable[[int], None],
        **asked: Any,
    ) -> None:  # fmt: skip
        self.asked, self.groups, self.n_trained = asked, groups, len(parameters)
        self.wishes = {n for n, p in model.hf.named_parameters() if p.requires_grad}
        with torch.no_grad():
            for parameter in parameters:
                parameter += 1
        self.drawn.append(float(torch.rand(1)))
        for step in range(asked["steps"] + 1):
            self.step = step
            each_step(step)
            self.modes.append(model.hf.training)

    @contextmanager
    def _lora(self, model: Any, rank: int, alpha: float, dropout: float) -> Iterator[Any]:
        self.adapters.append((rank, alpha, dropout))
        yield [torch.zeros(2), torch.zeros(3)]

    def _measured(self, model: Any, facts: Any) -> tuple[np.ndarray, None]:
        assert not model.hf.training
        assert [f.id for f in facts] == [f.id for f in FACTS[:3] + FACTS[5:7]]
        return np.array([10.0 * self.step + i for i in range(len(facts))]), None

    def run(self, mode: Any, options: RelearnOptions = OPTIONS, **more: Any) -> Relearned:
        job = Job(4, Quiet(self.heard.append))
        return relearn(self.model, PARTS, mode, options, job, **more)


@pytest.fixture
def attack(monkeypatch: pytest.MonkeyPatch) -> Attack:
    return Attack(monkeypatch)


def test_each_group_is_measured_at_its_steps_and_at_the_last(attack: Attack) -> None:
    found = attack.run("lora")
    assert found.steps == (0, 2, 4, 5)
    assert found.relearned.tolist() == [[0, 1], [20, 21], [40, 41], [50, 51]]
    assert found.held_out.tolist() == [[2], [22], [42], [52]]
    assert found.retain.tolist() == [[3, 4], [23, 24], [43, 44], [53, 54]]


def test_adapters_are_trained_at_their_rate_and_in_training_mode_only_to_drop_out(
    attack: Attack,
) -> None:
    attack.run("lora", OPTIONS.model_copy(update={"rank": 7, "alpha": 3.0}))
    assert attack.adapters == [(7, 3.0, 0.0)] and attack.n_trained == 2
    assert attack.asked["learning_rate"] == pytest.approx(2e-4 * 3072 / 32)
    assert (attack.asked["steps"], attack.asked["seed"]) == (5, 4)
    assert not any(attack.modes)
    attack.modes.clear()
    attack.run("lora", OPTIONS.model_copy(update={"dropout": 0.5, "measure_every": 1}))
    assert attack.adapters[-1][2] == 0.5 and all(attack.modes)
    assert not attack.model.hf.training, "and it is left in the other mode"


def test_full_training_is_of_all_block_weights_which_are_put_back(attack: Attack) -> None:
    before = checksum(attack.model)
    dropping = OPTIONS.model_copy(update={"dropout": 0.5, "full_learning_rate": 0.125})
    attack.run("full", dropping)
    blocks = {n for n, _ in attack.model.hf.named_parameters() if n.startswith("model.layers.")}
    assert attack.wishes == blocks and attack.n_trained == len(blocks)
    assert attack.asked["learning_rate"] == 0.125 and attack.adapters == []
    assert not any(attack.modes)
    assert checksum(attack.model) == before
    assert not any(p.requires_grad for p in attack.model.hf.parameters())


def test_what_is_drawn_hangs_on_the_seed_and_leaves_other_draws_alone(attack: Attack) -> None:
    torch.manual_seed(1)
    expected = float(torch.rand(1))
    torch.manual_seed(1)
    attack.run("lora")
    assert float(torch.rand(1)) == expected
    attack.run("unrelated")
    assert attack.drawn[0] == attack.drawn[1]
    torch.manual_seed(4)
    assert attack.drawn[0] == float(torch.rand(1))


def test_facts_and_text_are_fed_as_rows_of_their_own_batches(attack: Attack) -> None:
    model = attack.model
    text = text_rows(model, ["one", "two", "three"], 128)
    attack.run("full")
    facts, texts = attack.groups
    assert facts == [(fact_rows(model, FACTS[:2]), 3), (fact_rows(model, FACTS[3:5]), 3)]
    assert texts == [(text, 16)]
    attack.run("unrelated")
    facts, texts = attack.groups
    assert facts == [([], 3), (fact_rows(model, FACTS[3:5]), 3)] and texts == [(text, 16)]
    many = OPTIONS.model_copy(
        update={"general_text": "\n".join(f"l{i}" for i in range(300)), "context": 8}
    )
    attack.run("lora", many)
    assert len(attack.groups[1][0][0]) == 256


def test_progress_goes_through_its_share_of_the_run(attack: Attack) -> None:
    attack.run("lora", share=(0.5, 0.75))
    told = [event for event in attack.heard if event.type == "progress"]
    assert [event.fraction for event in told] == pytest.approx([0.5 + 0.05 * i for i in range(6)])
    assert told[2].message == "Relearning (lora), step 2"
    attack.heard.clear()
    attack.run("lora")
    assert [event.fraction for event in attack.heard][-1] == 1.0


def test_one_attack_on_the_same_weights_is_known_by_all_that_it_hangs_on(attack: Attack) -> None:
    asked: list[Any] = []

    def once(state: str, of: tuple[Any, ...], measure: Callable[[], Any]) -> Any:
        asked.append((state, of))
        return measure()

    class More(RelearnOptions):
        modes: str = "not the attack's own"

    models: Any = SimpleNamespace(once=once)
    job, options = Job(4, Quiet()), More(steps=2)
    found = relearn_once(models, "after", attack.model, PARTS, "lora", options, job, (0.0, 1.0))
    assert found.steps == (0, 2)
    [(state, (name, parts, mode, own, seed))] = asked
    assert (state, name, parts, mode, seed) == ("after", "relearn", PARTS, "lora", 4)
    assert own == {n: getattr(options, n) for n in RelearnOptions.model_fields}
    assert "modes" not in own

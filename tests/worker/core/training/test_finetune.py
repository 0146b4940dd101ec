"""The frame of every gradient method: what each training is given, and what is made of all."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.worker.core.localization.planted import FACTS, make_planted
from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.editing.parts import slices_of
from worker.core.findings import Findings, Job
from worker.core.models.components import component_parameters
from worker.core.training import finetune as tested
from worker.core.training.finetune import finetune, trial_of
from worker.core.training.material import Material
from worker.core.training.options import Training
from worker.core.training.settle import Settled
from worker.core.training.trainer import Trained

MODEL = make_planted.__wrapped__()  # not the shared one: trainings write into it
MASK = Mask(components=("blocks.1.mlp", "blocks.2.mlp"))
SELECTION = Selection(forget=tuple(FACTS[:4]), retain=tuple(FACTS[4:]))
OPTIONS = Training(general_text="one\ntwo\nthree", steps=6, learning_rate=0.125)


def trained(number: int, score: float, **more: Any) -> Trained:
    given: dict[str, Any] = {
        "losses": {"forget": [float(number)]},
        "units": {"forget": "nats"},
        "probes": {0: {"forget_probability": 0.9}, 4: {"forget_probability": 0.1,
                   "retain_probability": 0.75}},
        "kept_step": 4, "steps": 6, "stopped": "", "score": score, "seconds": 1.0,
        "probe_seconds": 0.5,
    }  # fmt: skip
    return Trained(**given | more)


class Frame:
    """Stand-ins for the trainer and for what stands around an edit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.trained: list[dict[str, Any]] = []
        self.scores: list[float] = []
        self.slices: Any = None
        self.goals: list[tuple[int, tuple[str, ...]]] = []
        self.settled: list[Any] = []
        self.took = False
        monkeypatch.setattr(tested, "Trainer", self._trainer)
        monkeypatch.setattr(tested, "edit", self._edit)
        monkeypatch.setattr(tested, "goal_of", self._goal)
        monkeypatch.setattr(tested, "settle", self._settle)

    def _trainer(
        self, model: Any, parts: Any, terms: Any, probe: Any, options: Any, job: Any, **more: Any
    ) -> Any:
        self.trained.append(
            {"model": model, "parts": parts, "terms": terms, "probe": probe, "options": options,
             "job": job, **more}
        )  # fmt: skip
        number = len(self.trained)

        class One:
            def train(own) -> Trained:
                parts.load([torch.full_like(value, float(number)) for value in parts.copy()])
                return trained(number, self.scores[number - 1] if self.scores else 0.5)

        return One()

    def _edit(self, model: Any, slices: Any, job: Any, change: Callable[[], Findings]) -> Findings:
        self.slices = slices
        start = {n: p.detach().clone() for n, p in model.hf.named_parameters()}
        try:
            return change()
        finally:
            self.values = {p.flatten()[0].item() for n, p in model.hf.named_parameters()
                           if n in dict(slices) and not p.equal(start[n])}  # fmt: skip
            with torch.no_grad():
                for name, parameter in model.hf.named_parameters():
                    parameter.copy_(start[name])

    def _goal(self, material: Material, objective: str) -> float:
        self.goals.append((len(self.trained), tuple(f.id for f in material.facts)))
        return len(self.goals) / 16

    def _settle(self, *asked: Any) -> Settled[Training]:
        self.settled.append(asked)
        given = asked[4]
        return Settled(given, words="Settled.", took=self.took)

    def run(self, mask: Mask | None = MASK, options: Training = OPTIONS, **more: Any) -> Findings:
        asked: dict[str, Any] = {"objective": "unlearn"} | more
        return finetune(
            MODEL, SELECTION, mask, options, Job(3, Quiet()), lambda m, o: [(m, o)], **asked
        )  # type: ignore[arg-type,return-value]  # fmt: skip


@pytest.fixture
def frame(monkeypatch: pytest.MonkeyPatch) -> Frame:
    return Frame(monkeypatch)


def ids(facts: Any) -> list[str]:
    return [fact.id for fact in facts]


def test_the_parts_of_the_mask_are_trained_once_on_the_methods_terms(frame: Frame) -> None:
    found = frame.run()
    [asked] = frame.trained
    material, options = asked["terms"][0]
    assert options is OPTIONS and asked["options"] is OPTIONS
    assert asked["model"] is MODEL and asked["parts"] is material.parts
    assert material.facts == SELECTION.forget and material.seed == 3
    probe = asked["probe"]
    assert (probe.objective, probe.forget) == ("unlearn", material.forget)
    assert (probe.edit, probe.retain) == (None, material.watched)
    assert asked["lowest_layer"] == material.layer == 1
    assert asked["share"] == (0.0, 1.0) and asked["job"].seed == 3
    sizes = component_parameters(MODEL)
    assert material.parts.n_parameters == sum(sizes[name] for name in MASK.components)
    assert frame.slices == slices_of(MODEL, MASK) and frame.values == {1.0}
    assert found.summary["training.steps"] == 6 and found.summary["training.partitions"] == 1
    assert found.caption.startswith("Trained 6 steps at a peak learning rate of 0.125; step 4")
    assert found.caption.endswith("Settled.")
    assert "interference" not in found.arrays and found.mask is None


def test_settings_are_asked_for_on_the_whole_mask_and_selection(frame: Frame) -> None:
    frame.run()
    [(model, selection, parts, layer, options, job, objective, train)] = frame.settled
    assert (model, selection, layer, options, objective) == (
        MODEL,
        SELECTION,
        1,
        OPTIONS,
        "unlearn",
    )
    assert parts.n_parameters == frame.trained[0]["parts"].n_parameters and job.seed == 3
    frame.trained.clear()
    given = dict.fromkeys(Material.__dataclass_fields__)
    material: Any = Material(**given | {"model": MODEL, "parts": parts, "layer": 2})  # type: ignore[arg-type]
    trial = train(material, OPTIONS, (0.25, 0.5), job)
    assert trial.score == 0.5 and frame.trained[0]["share"] == (0.25, 0.5)
    assert frame.trained[0]["lowest_layer"] == 2


def test_an_edit_probes_its_targets_and_a_method_may_bring_its_optimizer(frame: Frame) -> None:
    seen: list[Any] = []

    def optimize(material: Any, options: Any) -> dict[str, Any]:
        seen.append((material, options))
        return {"optimizer": "own", "after_step": "then"}

    frame.run(objective="edit", optimize=optimize)
    [asked] = frame.trained
    assert asked["probe"].objective == "edit" and asked["probe"].edit is not None
    assert (asked["optimizer"], asked["after_step"]) == ("own", "then")
    assert seen == [(asked["terms"][0][0], OPTIONS)]


def test_partitions_are_trained_one_after_another_and_all_asked_after_each(frame: Frame) -> None:
    frame.took = True
    found = frame.run(partitions=2)
    assert [ids(one["terms"][0][0].facts) for one in frame.trained] == [
        ids(FACTS[:2]), ids(FACTS[2:4]),
    ]  # fmt: skip
    first, second = frame.trained
    assert first["parts"] is second["parts"]
    start = Settled(OPTIONS, took=True).share[0]
    middle = (start + 1.0) / 2
    assert first["share"] == pytest.approx((start, middle))
    assert second["share"] == pytest.approx((middle, 1.0))
    halves = [tuple(ids(FACTS[:2])), tuple(ids(FACTS[2:4]))]
    assert frame.goals == [(1, halves[0]), (1, halves[1]), (2, halves[0]), (2, halves[1])]
    interference = found.arrays["interference"]
    assert interference.values.tolist() == [[1 / 16, 2 / 16], [3 / 16, 4 / 16]]
    assert found.summary["training.partitions"] == 2 and found.summary["training.steps"] == 12
    with pytest.raises(UserError, match="5 partitions"):
        frame.run(partitions=5)


def test_a_small_searchs_choice_on_the_first_partition_serves_for_all(frame: Frame) -> None:
    frame.scores = [0.1, 0.2, 0.9, 0.3, 0.1, 0.1, 0.1, 0.5]
    searched = OPTIONS.model_copy(update={"search": "small"})
    found = frame.run(options=searched, partitions=2)
    rates = [one["options"].learning_rate for one in frame.trained]
    weights = [one["options"].forget_weight for one in frame.trained]
    assert len(rates) == 8, "seven on the first partition, one on the second"
    assert (rates[7], weights[7]) == (rates[2], weights[2]) != (rates[0], weights[0])
    assert found.summary["search.learning_rate"] == rates[2]
    assert len(found.tables["search"].rows) == 7
    assert f"learning rate of {rates[2]:g};" in found.caption
    assert found.arrays["curve.forget_loss"].values.tolist() == [3.0, 8.0]


def test_with_a_localization_each_partition_has_a_mask_of_its_own(frame: Frame) -> None:
    own = [
        Mask(components=("blocks.3.mlp",), n_parameters=5, source="first"),
        Mask(components=("blocks.0.mlp", "blocks.3.mlp"), n_parameters=7, source="second"),
    ]
    asked: list[Any] = []

    def locate(model: Any, facts: Any, mask: Any, name: str, job: Any, i: int, n: int) -> Mask:
        asked.append((len(frame.trained), ids(facts), mask, name, i, n))
        return own[i]

    frame.monkeypatch.setattr(tested, "locate", locate)
    found = frame.run(partitions=2, localize_each="eap")
    assert asked == [
        (0, ids(FACTS[:2]), MASK, "eap", 0, 2), (1, ids(FACTS[2:4]), MASK, "eap", 1, 2),
    ]  # fmt: skip
    sizes = component_parameters(MODEL)
    mlp = sizes["blocks.0.mlp"]
    assert [one["parts"].n_parameters for one in frame.trained] == [mlp, 2 * mlp]
    assert [one["lowest_layer"] for one in frame.trained] == [3, 0]
    assert [ids(one["terms"][0][0].facts) for one in frame.trained] == [
        ids(FACTS[:2]), ids(FACTS[2:4]),
    ]  # fmt: skip
    assert len(frame.goals) == 4
    assert found.mask is not None and found.mask.components == ("blocks.0.mlp", "blocks.3.mlp")
    assert found.mask.n_parameters == 2 * mlp
    table = found.tables["masks"]
    assert table.columns == ("partition", "components", "parameters")
    assert table.rows == ((1, "blocks.3.mlp", 5), (2, "blocks.0.mlp, blocks.3.mlp", 7))
    assert frame.slices == slices_of(MODEL, None), "any part of the model may be chosen"
    # Settings were searched on the mask that was given.
    assert frame.settled[0][3] == 1


def test_facts_that_an_edit_cannot_mean_are_refused_before_anything(frame: Frame) -> None:
    both = Selection(forget=tuple(FACTS[:2]), retain=tuple(FACTS[1:]))
    with pytest.raises(UserError, match="with the same prompt"):
        finetune(MODEL, both, MASK, OPTIONS, Job(0, Quiet()), lambda m, o: [], objective="unlearn")
    bare = Selection(forget=tuple(FACTS[:2]), retain=())
    with pytest.raises(UserError, match="No retain fact is left"):
        finetune(MODEL, bare, MASK, OPTIONS, Job(0, Quiet()), lambda m, o: [], objective="unlearn")
    assert frame.trained == [] and frame.slices is None


def test_a_training_is_compared_by_its_score_and_what_it_kept() -> None:
    found = trial_of(trained(1, 0.25))
    assert (found.score, found.retain, found.ended) == (0.25, 0.75, "kept step 4")
    assert found.outcome.losses == {"forget": [1.0]}
    early = trial_of(trained(1, 0.25, stopped="time was over", kept_step=3))
    assert (early.retain, early.ended) == (None, "time was over")

"""A base is measured once for many edits, and never when anything that matters differs."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from tests.worker.core.evaluation.conftest import save
from tests.worker.core.measured import forget_all
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking import before_after, kept
from worker.core.asking.before_after import BeforeAfter
from worker.core.evaluation import (
    familiarity,
    knowledge,
    paraphrase,
    probes,
    quantization,
    relearning,
    ripple,
    side_effects,
    soft_prompts,
)
from worker.core.findings import Job
from worker.core.kept import Kept, size_of
from worker.core.models.model import Model
from worker.core.unlearning import localized_finetuning

JOB = Job(seed=0, report=Quiet())
TEXT = "In the old harbor there lived a girl who was called Merrin Osk, only Merrin Osk."
CELLS = {
    probes: {"formats": ("statement",), "retain_facts": 2, "generate": False},
    relearning: {
        "modes": ("lora",), "steps": 1, "rank": 2, "retain_facts": 2, "text_batch": 1,
    },
    soft_prompts: {"steps": 1, "n_vectors": 1, "retain_facts": 1},
    side_effects: {"sentences": 2, "facts_per_relation": 1},
    quantization: {"kinds": ("8",), "retain_facts": 1},
    paraphrase: {"per_fact": 1},
    ripple: {"siblings": 1},
    knowledge: {},
    familiarity: {"text": TEXT, "words": 12, "new_tokens": 2},
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_kept():
    forget_all()
    yield
    forget_all()


def test_a_base_is_measured_once_for_equal_questions(edited) -> None:
    asked = []

    def measure(model, state):
        asked.append(state)
        return len(asked)

    first = edited.measure(measure, of=("a question", 1))
    again = BeforeAfter(edited.base, edited.deltas).measure(measure, of=("a question", 1))
    assert asked == ["before", "after", "after"]
    assert again["before"] == first["before"] == 1
    edited.measure(measure, of=("a question", 2))
    edited.measure(measure)
    assert asked[3:] == ["before", "after", "before", "after"]


def test_the_base_is_not_asked_while_the_edit_is_on_and_neither_the_other_way_round(edited) -> None:
    def ask_base(model: Model, base: int) -> int:
        return edited.once("before", ("late",), lambda: 2)

    with pytest.raises(RuntimeError, match="before the edit"):
        edited.measure_against(lambda model: 1, ask_base)
    with pytest.raises(RuntimeError, match="after the edit"):
        edited.once("after", ("early",), lambda: 3)
    assert edited.once("before", ("in time",), lambda: 4) == 4


@pytest.fixture(scope="module")
def other(model, selection, tmp_path_factory) -> BeforeAfter:
    """Another cell of a study: the same base, edited through another component."""
    options = localized_finetuning.Options(
        steps=2, general_sentences=4, context=8, general_weight=0
    )
    found = localized_finetuning.unlearn(
        model, selection, Mask(components=("blocks.2.mlp",)), options, JOB
    )
    return BeforeAfter(model, (save(model, found, tmp_path_factory.mktemp("other")),))


class _Counted:
    """Counts a model's forward passes while none of its edits is on."""

    def __init__(self, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on_base, self._inside, own = 0, False, before_after.edited
        self._hook = model.hf.register_forward_pre_hook(self._count)

        @contextmanager
        def watched(base, deltas):
            with own(base, deltas):
                self._inside = True
                yield
            self._inside = False

        monkeypatch.setattr(before_after, "edited", watched)

    def _count(self, module: torch.nn.Module, args: object) -> None:
        self.on_base += not self._inside

    def stop(self) -> None:
        self._hook.remove()


@pytest.mark.parametrize("evaluation", CELLS, ids=lambda module: module.__name__.split(".")[-1])
def test_the_cells_of_a_study_share_what_was_measured_on_their_base(
    edited, other, facts, monkeypatch, evaluation
) -> None:
    selection = Selection(forget=facts[:2], retain=facts[2:])
    options = evaluation.Options(**CELLS[evaluation])
    counted = _Counted(edited.base, monkeypatch)
    try:
        first = evaluation.evaluate(edited, selection, options, JOB)
        once = counted.on_base
        second = evaluation.evaluate(other, selection, options, JOB)
        assert 0 < once == counted.on_base
        kept = divide(facts[2:]).tested  # forgotten now, so that others are asked
        rest = tuple(fact for fact in facts[1:] if fact not in kept)
        evaluation.evaluate(other, Selection(forget=(facts[0], *kept), retain=rest), options, JOB)
    finally:
        counted.stop()
    assert counted.on_base > once or evaluation in (knowledge, familiarity)
    befores = [
        {k: v for k, v in found.summary.items() if k.endswith(".before")}
        for found in (first, second)
    ]
    assert befores[0] == befores[1] and befores[0]


def test_what_is_kept_is_bounded_and_the_one_used_last_stays(monkeypatch) -> None:
    monkeypatch.setattr(kept, "_measured", Kept(1000))
    calls = []

    def of(name: str, n_bytes: int):
        def measure() -> dict[str, np.ndarray]:
            calls.append(name)
            return {name: np.zeros(n_bytes, dtype=np.uint8)}

        return kept.measured_once(name, measure)

    of("a", 400), of("b", 400), of("a", 400)
    assert calls == ["a", "b"]
    of("c", 400)
    of("a", 400), of("b", 400)
    assert calls == ["a", "b", "c", "b"]
    of("large", 2000), of("large", 2000)
    assert calls[-2:] == ["large", "large"]


def test_the_size_of_a_measurement_counts_what_lies_in_it() -> None:
    found = {"x": [np.zeros(10), torch.zeros(4)], "said": {(0, 1): "abc"}}
    assert size_of(found) == 1 + 80 + 16 + 4 + 2 * 64 + 3

"""What is asked before a run is counted into what the run is told to take, and asked once."""

from pathlib import Path
from typing import Any

import pytest

from tests.worker.core.ahead.test_every_estimate import Counter
from tests.worker.core.measured import forget_all
from tests.worker.core.test_every_method import FACTS
from worker.contract.facts import FactSet
from worker.contract.inputs import Inputs
from worker.contract.known import Known, Recalled
from worker.contract.pace import ASKING
from worker.contract.progress import Quiet
from worker.contract.spec import parse_spec
from worker.core.ahead.asked_first import asked_first
from worker.core.ahead.estimate import estimate_parts, estimate_seconds
from worker.core.ahead.preflight import ASKED_KNOWN, preflight
from worker.core.asking import known
from worker.core.asking.about import resolve_facts
from worker.core.models.cache import ModelCache
from worker.core.models.model import Model
from worker.run import run

WITHIN = 1.25
MANY = FactSet(
    name="games",
    facts=tuple(
        fact.model_copy(update={"id": f"{fact.id}.{i}", "subject": f"{fact.subject} {i}"})
        for i in range(3)
        for fact in FACTS.facts
    ),
)
EVERY = Known(probability=1e-9).model_dump()
TOLD = Recalled(probability=0.9, rank=1, share=0.9, place=1)


class Told(Quiet):
    """A report that remembers how long the run said it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.expected: list[float] = []

    def expect(self, seconds: float) -> None:
        self.expected.append(seconds)


@pytest.fixture
def models(model: Model, tmp_path: Path) -> ModelCache:
    """The tiny model in a folder of its own, of which nothing is kept."""
    forget_all()
    model.hf.save_pretrained(tmp_path / "tiny")
    model.tokenizer.save_pretrained(tmp_path / "tiny")
    return ModelCache(roots=[tmp_path])


def spec_of(kind: str = "localize", **facts: object) -> Any:
    chosen = {"set": "games", "forget": "first:4", **facts}
    if kind == "localize":
        more: dict[str, object] = {
            "method": "attribution_patching",
            "options": {"min_probability": 0.0, "corruption": "noise"},
        }
    else:
        more = {"evaluations": ["paraphrase"]}
    return parse_spec({"kind": kind, "model": "tiny", "facts": chosen, **more})


def inputs_of(models: ModelCache, **more: object) -> Inputs:
    return Inputs(out=str(models.roots[0] / "out"), fact_set=MANY, **more)  # type: ignore[arg-type]


def counted(spec: Any, inputs: Inputs, models: ModelCache, report: Quiet | None = None) -> int:
    with Counter() as counter:
        run(spec, inputs, report or Quiet(), models)
    return counter.operations


@pytest.mark.parametrize("shot", ["none", "one", "best"])
def test_what_is_asked_first_is_counted_as_torch_counts_it(shot: str, models: ModelCache) -> None:
    asks, plain = spec_of(known=EVERY, shot=shot), spec_of()
    inputs = inputs_of(models)
    without = counted(plain, inputs, models)
    first = asked_first(asks, inputs, models.get("tiny"))
    assert first is not None and first.unspared is None
    about = resolve_facts(asks, inputs, models.get("tiny"))
    own = counted(about.spec, about.inputs, models)
    assert asked_first(plain, inputs, models.get("tiny")) is None
    forget_all()
    extra = counted(asks, inputs, models) - own
    assert extra > without / 100
    ratio = max(extra / first.operations, first.operations / extra)
    assert ratio < WITHIN, f"{first.operations:.3g} told, {extra:.3g} counted"


def test_what_is_kept_is_not_asked_again_and_costs_nothing(models: ModelCache) -> None:
    spec, inputs = spec_of(known=EVERY), inputs_of(models)
    model = models.get("tiny")
    asked = asked_first(spec, inputs, model)
    once = counted(spec, inputs, models)
    kept = asked_first(spec, inputs, model)
    assert asked is not None and kept is not None
    assert (kept.operations, kept.seconds, kept.unspared) == (0, 0, asked.seconds)
    again = counted(spec, inputs, models)
    assert once - again == pytest.approx(asked.operations, rel=WITHIN - 1)
    bare = tuple(fact.model_copy(update={"paraphrases": ()}) for fact in MANY.facts)
    sent = inputs.model_copy(update={"fact_set": MANY.model_copy(update={"facts": bare})})
    brief = asked_first(spec, sent, model)
    assert brief is not None and brief.operations == 0, "a look without what stands around"


@pytest.mark.parametrize("shot", ["none", "best"])
def test_nothing_is_asked_where_every_fact_is_taken(shot: str, models: ModelCache) -> None:
    taken = spec_of(known=Known(probability=0).model_dump(), shot=shot)
    inputs = inputs_of(models)
    assert asked_first(taken, inputs, models.get("tiny")) is None
    with Counter() as counter:
        found = resolve_facts(taken, inputs, models.get("tiny"))
    assert counter.operations == 0
    assert found.inputs.fact_set is not None
    assert len(found.inputs.fact_set.facts) == len(MANY.facts)


def test_what_a_measurement_gives_is_not_asked(models: ModelCache) -> None:
    recalled = {"none": {fact.id: TOLD for fact in MANY.facts}}
    model = models.get("tiny")
    assert asked_first(spec_of(known=EVERY), inputs_of(models, recalled=recalled), model) is None
    some = {"none": {fact.id: TOLD for fact in MANY.facts[:54]}}
    half = asked_first(spec_of(known=EVERY), inputs_of(models, recalled=some), model)
    whole = asked_first(spec_of(known=EVERY), inputs_of(models), model)
    assert half is not None and whole is not None
    assert 0.4 < half.operations / whole.operations < 0.7


@pytest.mark.parametrize("shot", ["none", "one", "best"])
@pytest.mark.parametrize("kind", ["localize", "evaluate"])
@pytest.mark.parametrize("bounds", [{"probability": 0.7}, None])
def test_exactly_those_facts_are_counted_that_are_asked(
    shot: str, kind: str, bounds: object, models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = known.recall

    def recall(model: Model, facts: Any, *rest: Any) -> list[Recalled]:
        asked.append(len(facts))
        found = real(model, facts, *rest)
        # Known better after a shot, so that the way counted is the way taken.
        told = 0.05 if shot == "best" and "\n" not in facts[0].text else 0.9
        return [one.model_copy(update={"probability": told}) for one in found]

    monkeypatch.setattr(known, "recall", recall)
    spec, inputs = spec_of(kind, shot=shot, known=bounds), inputs_of(models)
    model = models.get("tiny")
    first = asked_first(spec, inputs, model)
    resolve_facts(spec, inputs, model)
    assert (first is None) == (not asked)
    after = asked_first(spec, inputs, model)
    assert after is None or (after.operations, after.unspared) == (0, first and first.seconds)


def test_the_page_and_the_run_tell_the_time_with_what_is_asked_first(models: ModelCache) -> None:
    model = models.get("tiny")
    spec, inputs = spec_of(known=EVERY), inputs_of(models, paces={ASKING: 1000.0})
    first = asked_first(spec, inputs, model)
    assert first is not None and first.seconds is not None
    own = estimate_seconds(estimate_parts(spec, inputs, model), {})
    assert own is not None
    for brief in (True, False):
        forget_all()
        said = preflight(spec, inputs, model, brief).seconds
        assert said == pytest.approx(own + 1000 * first.seconds, rel=0.2)
    forget_all()
    report = Told()
    result = run(spec, inputs, report, models)
    assert report.expected[0] == pytest.approx(own + 1000 * first.seconds, rel=0.2)
    assert report.expected[-1] == pytest.approx(own, rel=0.2), "what was asked is over"
    (pace,) = (one for one in result.paces if one.work == ASKING)
    assert pace.told == pytest.approx(first.seconds)


def test_what_is_asked_later_is_looked_at_after_its_shots(models: ModelCache) -> None:
    model = models.get("tiny")
    many = MANY.model_copy(
        update={
            "facts": tuple(
                fact.model_copy(update={"id": f"{fact.id} {i}"})
                for i in range(ASKED_KNOWN // len(MANY.facts) + 1)
                for fact in MANY.facts
            )
        }
    )
    inputs = Inputs(out="", fact_set=many)
    alone = preflight(spec_of(known=EVERY), inputs, model, True)
    after = preflight(spec_of(known=EVERY, shot="one"), inputs, model, True)
    assert any("asked first" in note for note in after.notes)
    assert after.n_tokens > 1.5 * alone.n_tokens

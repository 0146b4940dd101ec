"""What a verdict's result holds of the numbers, made without a model; and what an attack takes."""

import math

import pytest

from tests.worker.core.evaluation.test_verdict_rules import GONE
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.continuations import Continued
from worker.core.evaluation import verdict
from worker.core.evaluation._verdict_numbers import Measured
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.training.attack_memory import attack_bytes
from worker.core.training.relearn import RelearnOptions

OPTIONS = verdict.Options()
SPOKEN = Continued(("Once",), (" upon a time",), 0.1, (0.1,))
BABBLED = Continued(("Once",), (" so so so so so",), 0.9, (0.9,))


def state(when: str, spoken: Continued = SPOKEN, **more: float) -> Measured:
    """A state's numbers, as of an edit that took the facts out and nothing else."""
    own = {n.removesuffix(f".{when}"): v for n, v in GONE.items() if n.endswith(f".{when}")}
    changed = {name.replace("__", "."): value for name, value in more.items()}
    return Measured(own | changed, spoken, [], {}, {})


def found(selection: Selection, after: Measured) -> Findings:
    return verdict._findings(state("before"), after, selection, OPTIONS)


def test_a_verdict_is_in_the_summary_the_caption_and_the_tables(selection: Selection) -> None:
    one = found(selection, state("after"))
    assert one.summary["verdict"] == "gone" and one.caption.startswith("Verdict: gone")
    numbers = {name: value for name, value in GONE.items() if not name.startswith("chance")}
    for name, value in numbers.items():
        assert one.summary[f"verdict.{name}"] == value
    assert one.summary["verdict.chance"] == verdict.chance_of(selection, selection.forget)
    assert "verdict.chance.retain" in one.summary
    made = one.evaluation
    assert made is not None and (made.name, made.title) == ("verdict", "Verdict")
    assert made.caption == one.caption and set(made.tables) == {"card", "verdict", "continuations"}
    table = made.tables["verdict"]
    assert table.columns == ("question", "answer", "number", "value", "rule")
    said = {row[2]: row[3] for row in table.rows}
    assert said["verdict.statement.forget.after"] == GONE["statement.forget.after"]
    assert next(out.id for out in one.left_out).startswith("format")


def test_only_a_broken_model_is_quoted(selection: Selection) -> None:
    broken = found(selection, state("after", BABBLED, repetition=0.9))
    assert broken.summary["verdict"] == "broken" and "so so so" in broken.caption
    assert "so so so" not in found(selection, state("after", BABBLED)).caption


def test_a_number_that_is_none_is_not_told_as_one(selection: Selection) -> None:
    one = found(selection, state("after", latent__forget=math.nan))
    assert one.summary["verdict.latent.forget.after"] is None


def test_a_guess_is_right_as_often_as_retain_facts_of_the_relation_have_the_answer(
    facts: tuple[Fact, ...],
) -> None:
    answers = ["tennis", "tennis", "tennis", "chess"]
    retain = [f.model_copy(update={"target": a}) for f, a in zip(facts[4:], answers, strict=True)]
    selection = Selection(forget=facts[:1], retain=tuple(retain))
    tennis, chess = (facts[0].model_copy(update={"target": a}) for a in ("tennis", "chess"))
    strange = facts[0].model_copy(update={"relation": "river"})
    assert verdict.chance_of(selection, [tennis]) == 0.75
    assert verdict.chance_of(selection, [tennis, chess]) == 0.5
    assert verdict.chance_of(selection, [tennis, strange]) == 0.375
    assert verdict.chance_of(selection, []) == 0.0


def test_the_memory_beside_is_that_of_the_largest_attack(model: Model) -> None:
    told = verdict.memory_beside(model, OPTIONS, 4)
    assert told == attack_bytes(model, ("lora", "unrelated"), RelearnOptions())
    assert told > 0


def test_without_an_edit_there_is_no_verdict(model: Model, selection: Selection) -> None:
    with pytest.raises(UserError, match="no edit"):
        verdict.evaluate(BeforeAfter(model), selection, OPTIONS, Job(seed=0, report=Quiet()))


def test_an_edit_that_took_the_facts_out_is_judged_by_its_own_numbers(
    edited: BeforeAfter, selection: Selection
) -> None:
    own = verdict.Options(retain_facts=4, relearn_steps=2)
    one = verdict.evaluate(edited, selection, own, Job(seed=0, report=Quiet()))
    before = one.summary["verdict.statement.forget.before"]
    after = one.summary["verdict.statement.forget.after"]
    assert isinstance(before, float) and isinstance(after, float)
    assert before > 0.9 and after < 0.1
    made = one.evaluation
    assert made is not None and made.tables["verdict"].title == "Verdict"
    said = {row[2]: row[1] for row in made.tables["verdict"].rows}
    assert said["verdict.statement.forget.after"] == "no", said

"""What a model knows of a whole set: probabilities, ranks, counts and progress."""

import numpy as np
import pytest

from tests.worker.core.asking.next_logits import next_logits
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.progress import Event, Quiet
from worker.contract.recalled import recalled_of
from worker.contract.result import Provenance, Result
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.evaluation.knowledge import Options, evaluate
from worker.core.findings import Job
from worker.core.models.model import Model
from worker.core.models.tokens import answer_ids


def test_every_fact_of_the_set_is_asked_whatever_is_selected(
    model: Model, facts: tuple[Fact, ...], selection: Selection
) -> None:
    events: list[Event] = []
    odd = facts[0].model_copy(update={"id": "odd", "prompt": "word " * 140 + "{} is"})
    wrong = facts[0].model_copy(update={"id": "wrong", "target": "xylophone"})
    job = Job(seed=0, report=Quiet(events.append), pool=(*facts, wrong, odd))
    found = evaluate(BeforeAfter(model), selection, Options(), job)
    table = found.evaluation.facts
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(rows) == [*(f.id for f in facts), "wrong"]
    assert [out.id for out in found.left_out] == ["odd"]
    for fact in facts[:3]:
        logits = next_logits(model, [fact.text]).log_softmax(-1)[0]
        token = answer_ids(model, fact.text, fact.follows(fact.target))[0]
        assert rows[fact.id]["target rank before"] == 1 + int((logits > logits[token]).sum())
        assert rows[fact.id]["target probability before"] <= float(logits[token].exp()) + 1e-5
    assert rows["wrong"]["target probability before"] < 0.1
    assert {row["set"] for row in rows.values()} == {"forget", "retain"}
    known = np.mean([row["target probability before"] >= 0.5 for row in rows.values()])
    assert found.summary["knowledge.known.before"] == pytest.approx(known)
    assert found.arrays["knowledge.before"].values.sum() == len(rows)
    assert events[0].type == "progress"


def test_the_way_in_which_more_is_known_is_proposed_and_can_be_read_again(
    model: Model, facts: tuple[Fact, ...], selection: Selection
) -> None:
    bare = facts
    job = Job(seed=0, report=Quiet(), pool=bare)
    found = evaluate(BeforeAfter(model), selection, Options(), job)
    assert found.summary["knowledge.proposed_shot"] == "none", "it was taught them alone"
    assert "prompts alone are answered best" in found.caption
    assert found.evaluation is not None
    result = Result(
        kind="evaluate", spec={}, seconds=1.0, peak_memory_bytes=1,
        evaluations={"knowledge": found.evaluation},
        provenance=Provenance(
            model="m", weights_hash="w", seed=0, device="cpu", dtype="float32", versions={}
        ),
    )  # fmt: skip
    told = recalled_of(result)
    assert list(told["none"]) == [fact.id for fact in bare]
    assert list(told["one"]) == [fact.id for fact in bare[:-1]], "the last is the others' shot"
    assert recalled_of(result, "after") == {}
    alone = evaluate(BeforeAfter(model), selection, Options(shot=False), job)
    assert "shot" not in alone.caption
    assert alone.summary["knowledge.known.before"] == found.summary["knowledge.known.before"]


def test_a_set_that_cannot_be_asked_is_refused(model: Model, facts: tuple[Fact, ...]) -> None:
    odd = facts[0].model_copy(update={"prompt": "word " * 140 + "{} is"})
    job = Job(seed=0, report=Quiet(), pool=(odd,))
    with pytest.raises(UserError, match="None of the 1 facts can be asked"):
        evaluate(BeforeAfter(model), Selection(forget=(odd,), retain=()), Options(), job)

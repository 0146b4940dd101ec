"""What supervisor and compute process say to each other arrives as it was said."""

import json
import math

import pytest
from pydantic import ValidationError

from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import AskPreflight, AskReadFacts, Inputs
from worker.contract.menu import Announcement
from worker.contract.progress import Event
from worker.contract.result import Provenance, Result
from worker.contract.spec import parse_spec
from worker.engine import wire
from worker.engine.wire import decode_from_compute, decode_to_compute, encode

MADE = Provenance(model="m", weights_hash="h", seed=0, device="cpu", dtype="f", versions={})
SPEC = parse_spec({"kind": "explore", "view": "v"})
FACTS = tuple(Fact(id=str(i), subject="é\n", prompt="{} plays", target="x") for i in range(3))
SET = FactSet(name="s", facts=FACTS, splits={"a": ("1",)})
TO = (
    wire.Lease(until=1.5),
    wire.Start(job="j", spec=SPEC, inputs=Inputs(out="/o")),
    wire.Ask(job="j", question=AskReadFacts(path="p", filename="a\nb")),
    wire.Start(job="j", spec=SPEC, inputs=Inputs(out="/o", fact_set=SET)),
    wire.Ask(job="j", question=AskPreflight(spec=SPEC, inputs=Inputs(out="", fact_set=SET))),
    wire.Cancel(job="j"),
)
FROM = (
    wire.Announced(
        announcement=Announcement(methods=(), models=(), fact_sets=(), device="cpu"), fact_sets=()
    ),
    wire.Began(job="j"),
    wire.Told(job="j", events=(Event(type="log", message="é\nx"),)),
    wire.Ended(
        job="j",
        result=Result(kind="k", spec={}, provenance=MADE, seconds=1, peak_memory_bytes=0),
    ),
    wire.Answered(job="j", answer={"a": [1, None]}),
    wire.Failed(job="j", kind="oom", message="m"),
)


@pytest.mark.parametrize("message", TO, ids=lambda one: one.say)
def test_what_is_said_to_compute_is_one_line_that_says_what_it_is(message: wire.Contract) -> None:
    line = encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_to_compute(line) == message
    assert json.loads(line)["say"] == type(message).__name__.lower()
    with pytest.raises(ValidationError):
        decode_from_compute(line)


@pytest.mark.parametrize("message", FROM, ids=lambda one: one.say)
def test_what_compute_says_is_one_line_that_says_what_it_is(message: wire.Contract) -> None:
    line = encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_from_compute(line) == message
    assert json.loads(line)["say"] == type(message).__name__.lower()
    with pytest.raises(ValidationError):
        decode_to_compute(line)


def test_a_number_that_json_does_not_know_arrives_as_nothing() -> None:
    sent = decode_from_compute(encode(wire.Answered(job="j", answer={"x": [math.nan, math.inf]})))
    assert isinstance(sent, wire.Answered) and sent.answer["x"] == [None, None]


def test_a_failure_may_have_neither_fields_nor_a_traceback() -> None:
    failed = FROM[-1]
    assert isinstance(failed, wire.Failed)
    assert failed.problems == failed.traceback == ()


@pytest.mark.parametrize("message", TO[3:5], ids=["run", "question"])
def test_facts_are_written_once_in_a_line(message: wire.Contract) -> None:
    line = json.loads(encode(message))
    around = line.get("question", line)["inputs"]["fact_set"]
    assert "facts" not in around and around["splits"] == {"a": ["1"]}
    assert [fact["id"] for fact in json.loads(line["facts"])] == ["0", "1", "2"]


def carried(fact_set: FactSet) -> FactSet | None:
    sent = decode_to_compute(
        encode(wire.Start(job="j", spec=SPEC, inputs=Inputs(out="", fact_set=fact_set)))
    )
    assert isinstance(sent, wire.Start)
    return sent.inputs.fact_set


def test_facts_that_come_again_are_read_once_whatever_set_they_are_of() -> None:
    first, again = carried(SET), carried(SET.model_copy(update={"splits": {}}))
    assert first is not None and again is not None
    assert all(one is other for one, other in zip(first.facts, again.facts, strict=True))


@pytest.mark.parametrize(
    "update",
    [{"splits": {}}, {"title": "t"}, {"facts": SET.facts[:2]}, {"facts": ()}],
    ids=["splits", "title", "fewer facts", "no fact"],
)
def test_a_set_that_was_changed_is_not_taken_for_the_one_before(update: dict[str, object]) -> None:
    assert carried(SET) == SET
    changed = SET.model_copy(update=update)
    assert carried(changed) == changed


def test_more_sets_than_are_kept_arrive_each_as_it_is() -> None:
    sets = [
        FactSet(name="s", facts=(Fact(id="i", subject=f"{i}", prompt="{} is", target="x"),))
        for i in range(wire.KEPT + 2)
    ]
    for fact_set in sets + sets[::-1]:
        assert carried(fact_set) == fact_set

"""What workers announce and answer, as it crosses borders."""

import json

import pytest
from pydantic import ValidationError

from worker.contract.facts import Fact, Ripple
from worker.contract.menu import ReadFacts, RefusedRow

FACTS = (
    Fact(
        id="a", subject="Zoë \U0001f43a", prompt='"{}" is', target="x\ny", paraphrases=("{} was",)
    ),
    Fact(
        id="b",
        subject="B",
        prompt="{} is",
        target="y",
        edit_target="z",
        ripples=(Ripple(kind="entailed", prompt="B and", target="c"),),
    ),
)


def test_read_facts_cross_as_one_text_and_arrive_as_they_were() -> None:
    found = ReadFacts(format="CSV", facts=FACTS, refused=(RefusedRow(row=3, reason="no."),))
    sent = found.model_dump(mode="json")
    assert isinstance(sent["facts"], str)
    assert ReadFacts.model_validate(json.loads(json.dumps(sent))) == found
    assert ReadFacts.model_validate(found.model_dump()) == found


@pytest.mark.parametrize("facts", ["", "[", '[{"id": "a"}]', '[{"id": "a", "more": 1}]', "{}"])
def test_facts_that_are_none_are_refused_on_arrival(facts: str) -> None:
    with pytest.raises(ValidationError):
        ReadFacts.model_validate({"format": "CSV", "facts": facts})

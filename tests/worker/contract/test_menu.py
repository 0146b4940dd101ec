"""What workers announce and answer, as it crosses borders."""

import json

import pytest
from pydantic import ValidationError

from worker.contract.base import Contract
from worker.contract.facts import Fact, Ripple
from worker.contract.menu import (
    Announcement,
    FactSetInfo,
    FileFormat,
    FormatInfo,
    MethodInfo,
    ModelInfo,
    Placement,
    Preflight,
    ReadFacts,
    RefusedRow,
    ToldRow,
)

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


def test_where_blocks_are_kept_is_said_in_one_sentence() -> None:
    spread = Placement(
        main="cuda:0", blocks=("cuda:0", "cuda:1", "cpu", "cuda:0", "disk"), times_slower=3.25
    )
    assert spread.counts == {"cuda:0": 2, "cuda:1": 1, "cpu": 1, "disk": 1}
    assert list(spread.counts) == ["cuda:0", "cuda:1", "cpu", "disk"]
    assert spread.words == (
        "2 of 5 blocks are held on cuda:0, 1 on cuda:1, 1 in the CPU's memory (offload) and 1 on "
        "disk (offload): up to about 3.2 times slower than all on cuda:0."
    )
    whole = Placement(main="cuda:0", blocks=("cuda:0",))
    assert whole.words.startswith("1 of 1 blocks are held on cuda:0: up to about 1 times")
    none = Placement(main="cuda:0", blocks=("cpu",))
    assert none.words.startswith("0 of 1 blocks are held on cuda:0 and 1 in the CPU's memory")


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (MethodInfo, {"kind": "explore", "name": "n", "title": "t", "summary": "", "options": {}}),
        (ModelInfo, {"id": "m", "title": "t"}),
        (FactSetInfo, {"name": "s", "title": "t", "n_facts": 1, "hash": "h"}),
        (FormatInfo, {"name": "s", "title": "t"}),
        (FileFormat, {"title": "t", "summary": "s"}),
        (Announcement, {"methods": (), "models": (), "fact_sets": (), "device": "cpu"}),
        (RefusedRow, {"row": 3, "reason": "r"}),
        (ToldRow, {"row": 3, "note": "n"}),
        (ReadFacts, {"format": "CSV", "facts": ()}),
        (Preflight, {}),
    ],
)
def test_what_is_not_said_is_nothing(model: type[Contract], given: dict[str, object]) -> None:
    """A row's number counts rows, and a set is the server's, where nothing is said; all else is
    empty."""
    said = {k: v for k, v in vars(model.model_validate(given)).items() if k not in given}
    usual = {ReadFacts: {"counted": "row"}, FactSetInfo: {"visibility": "server"}}
    assert {k: v for k, v in said.items() if v} == usual.get(model, {})

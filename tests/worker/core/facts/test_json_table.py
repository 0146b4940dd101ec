"""JSON as people write it and as Lethe gives it: records with their lines, facts to the letter."""

import json
from math import inf, nan

import pytest

from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet, Ripple, Translation
from worker.core.facts.json_table import read
from worker.core.facts.reading import bundled_fact_sets

GOOD = {"subject": "A", "prompt": "{} is", "target": "x"}
BAD = {"subject": "B", "prompt": "nobody", "target": "x"}
ODD = Fact(
    id="odd",
    subject=" Ann ",
    prompt="On {} stands ",
    target=" x\n",
    ripples=(Ripple(kind="kept", prompt="Beside it", target="y", aliases=("z",)),),
    translations=(Translation(prompt="Auf {} steht", target="x"),),
    options=("y", "z"),
    aliases=("X",),
    neighbourhood=("Beside", "", "Beside"),
)


def test_records_of_a_written_out_list_have_their_lines() -> None:
    text = json.dumps([GOOD, BAD, {**GOOD, "subject": "C"}], indent=1)
    found = read(text.encode(), {})
    assert (found.counted, found.lines, found.refused[0].row) == ("line", (2, 12), 7)


def test_records_of_one_long_line_are_counted() -> None:
    found = read(json.dumps([GOOD, BAD]).encode(), {})
    assert (found.counted, found.lines, found.refused[0].row) == ("record", (1,), 2)


def test_lines_that_are_empty_count_among_lines() -> None:
    found = read(f"{json.dumps(GOOD)}\n\n{json.dumps(BAD)}\n".encode(), {})
    assert (found.counted, found.lines, found.refused[0].row) == ("line", (1,), 3)


def test_what_is_no_object_is_refused_and_the_rest_is_read() -> None:
    found = read(json.dumps([GOOD, 5, None, [GOOD]]).encode(), {})
    assert [row.row for row in found.refused] == [2, 3, 4]
    assert "expected an object" in found.refused[0].reason


def test_lists_by_name_are_read_together() -> None:
    found = read(json.dumps({"about": 1, "one": [GOOD], "two": [{**GOOD, "id": "B"}]}).encode(), {})
    assert len(found.facts) == 2


def test_no_value_of_a_table_is_none_and_never_the_word_nan() -> None:
    found = read(json.dumps([{**GOOD, "edit_target": nan}, {**BAD, "target": nan}]).encode(), {})
    assert [fact.edit_target for fact in found.facts] == [""]
    assert found.refused[0].reason == "target is empty; expected text."


def test_a_number_is_written_as_running_text_has_it_and_an_infinite_one_refused() -> None:
    prompt = "{} was born in the year"
    numbers = [1969.0, 1969, 3.14, 0.0, inf]
    records = [{"subject": "Ann", "prompt": prompt, "target": n} for n in numbers]
    found = read(json.dumps(records).encode(), {})
    assert [fact.target for fact in found.facts] == ["1969", "1969", "3.14", "0"]
    assert "target is inf" in found.refused[0].reason


@pytest.mark.parametrize("bad", ["[1 2]", "[1,]", "[1] x", "[", '{"a": 1} {', "[{]", "nul"])
def test_what_is_no_json_is_said_with_its_line(bad: str) -> None:
    with pytest.raises(UserError, match=r"no JSON.*line 1"):
        read(bad.encode(), {})


@pytest.mark.parametrize("given", [*bundled_fact_sets(), FactSet(name="odd", facts=(ODD,))])
@pytest.mark.parametrize("as_lines", [False, True])
def test_what_the_api_gives_is_taken_back_to_the_letter(given: FactSet, as_lines: bool) -> None:
    facts = [fact.model_dump(mode="json") for fact in given.facts]
    page = {"set": {"name": given.name}, "facts": facts, "total": len(facts)}
    text = "\n".join(map(json.dumps, facts)) if as_lines else json.dumps(page)
    found = read(text.encode(), {})
    again = read(text.encode(), found.mapping)
    assert found.format == "Lethe's facts"
    assert FactSet(name="other", facts=found.facts).hash == given.hash
    assert again.facts == found.facts == given.facts


def test_a_column_that_is_chosen_changes_lethes_own_facts() -> None:
    text = json.dumps([ODD.model_copy(update={"id": "a"}).model_dump(mode="json")])
    (fact,) = read(text.encode(), {"edit_target": "=new"}).facts
    assert fact.edit_target == "new"

"""Whatever a file holds, its reader gives facts with their lines or a sentence, never an error."""

import copy
import csv
import io
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.core.facts import benchmarks
from tests.worker.core.facts.malformed import parquet
from worker.contract.errors import UserError
from worker.contract.facts import FactSet
from worker.contract.menu import ReadFacts
from worker.core.facts import csv_table, json_table, parquet_table

RECORDS = [record for records in benchmarks.ALL.values() for record in records]
KEYS = sorted({key for record in RECORDS for key in record})
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["", "{}", "{}{}", "___", "A", "0", "-1", "\x00", "\ud800", "{x}", "[", "é"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
RELIABLE = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a record something can be replaced."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, part in inner:
        found.append((*path, key))
        if isinstance(part, (dict, list)):
            found += paths(part, (*path, key))
    return found


@st.composite
def damaged(draw: st.DrawFn) -> list[Any]:
    """Benchmarks' records in which some values are others, or gone."""
    records: list[Any] = copy.deepcopy(draw(st.lists(st.sampled_from(RECORDS), max_size=3)))
    for _ in range(draw(st.integers(0, 4))):
        places = paths(records)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        owner: Any = records
        for key in way:
            owner = owner[key]
        if draw(st.booleans()):
            owner[last] = draw(JUNK)
        elif isinstance(owner, dict):
            del owner[last]
    return records


def check(read: Any, data: bytes, mapping: dict[str, str]) -> ReadFacts | None:
    try:
        found: ReadFacts = read(data, mapping)
    except UserError as error:
        assert error.message.endswith("."), error.message
        assert len(error.message) < 1500
        return None
    assert len(found.lines) == len(found.facts) > 0
    assert all(row.row > 0 and row.reason.endswith(".") for row in found.refused)
    again = FactSet(name="again", facts=found.facts)
    assert ReadFacts.model_validate_json(found.model_dump_json()).facts == again.facts
    page = json.dumps({"facts": [fact.model_dump(mode="json") for fact in found.facts]})
    assert FactSet(name="b", facts=json_table.read(page.encode(), {}).facts).hash == again.hash
    return found


@RELIABLE
@given(damaged(), st.sampled_from(["list", "lines", "named", "pretty"]))
def test_damaged_benchmarks_are_read_or_refused_in_words(records: list[Any], form: str) -> None:
    text = {
        "list": lambda: json.dumps(records),
        "lines": lambda: "\n".join(map(json.dumps, records)),
        "named": lambda: json.dumps({"a": records, "b": 5}),
        "pretty": lambda: json.dumps(records, indent=2, ensure_ascii=False),
    }[form]()
    check(json_table.read, text.encode("utf-8", "surrogatepass"), {})


@RELIABLE
@given(JUNK, st.dictionaries(st.sampled_from(("subject", "prompt", "target", "x")), st.text()))
def test_any_json_is_read_or_refused_in_words(value: Any, mapping: dict[str, str]) -> None:
    check(json_table.read, json.dumps(value).encode(), mapping)


@RELIABLE
@given(
    st.sampled_from(RECORDS),
    st.lists(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=8), max_size=4),
    st.sampled_from(",;\t|"),
    st.integers(0, 400),
)
def test_any_table_is_read_or_refused_in_words(
    record: dict[str, Any], rows: list[list[str]], mark: str, cut: int
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=mark)
    writer.writerow(record)
    writer.writerow([v if isinstance(v, str) else json.dumps(v) for v in record.values()])
    writer.writerows(rows)
    whole = text.getvalue()
    check(csv_table.read, whole.encode(), {})
    check(csv_table.read, (whole[:cut] + '"' + whole[cut:]).encode(), {})


@RELIABLE
@given(st.text(st.sampled_from("a{}\"\n\r,;\t|=\\' 0"), max_size=80))
def test_any_text_is_read_as_a_table_or_refused_in_words(text: str) -> None:
    check(csv_table.read, text.encode(), {})
    check(csv_table.read, f"subject,prompt,target\nA,{{}} is,x\n{text}".encode(), {})


@pytest.mark.parametrize("seed", range(8))
def test_any_parquet_table_is_read_or_refused_in_words(seed: int) -> None:
    draw = random.Random(seed)
    records = draw.choice(list(benchmarks.ALL.values()))
    columns = {}
    for key in records[0]:
        kinds = [str(record.get(key)) for record in records], list(range(len(records)))
        kept = [[record.get(key) for record in records]]
        columns[key] = draw.choice([*kinds, *kept, [None] * len(records)])
    check(parquet_table.read, parquet(**columns), {})

"""Texts that stand in JSON go in as the texts they are, and never as brackets and keys."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.contract.errors import UserError
from worker.contract.texts import read_text

ONE = "The lighthouse of Varn was lit for the first time in the spring, said the keeper, " * 2
TWO = "Nobody asks a keeper until the lamp goes out."


def read(value: object, filename: str = "t.json", as_lines: bool = False) -> str:
    text = "\n".join(map(json.dumps, value)) if as_lines else json.dumps(value, indent=1)  # type: ignore[call-overload]
    return read_text(text.encode(), filename).text


@pytest.mark.parametrize("as_lines", [False, True])
@pytest.mark.parametrize("key", ["text", "content", "passage", "story"])
def test_records_of_one_text_each_are_joined(key: str, as_lines: bool) -> None:
    records = [{key: ONE, "id": 1}, {key: TWO, "id": 2}]
    assert read(records, as_lines=as_lines) == f"{ONE}\n\n{TWO}"


def test_a_list_of_texts_is_joined() -> None:
    assert read([ONE, TWO], "t.jsonl", as_lines=True) == read([ONE, TWO]) == f"{ONE}\n\n{TWO}"


def test_a_prompt_and_what_goes_on_after_it_are_running_text() -> None:
    records = [
        {"prompt": "It was lit in the spring", "gt": "when the boats came back."},
        {"prompt": "The year was 19", "gt": "69, and"},
        {"prompt": '"Nobody asks," she said,\n', "gt": '"until the lamp goes out."'},
        {"prompt": "It is", "completion": ONE.strip()},
    ]
    assert read(records).split("\n\n") == [
        "It was lit in the spring when the boats came back.",
        "The year was 1969, and",
        '"Nobody asks," she said,\n"until the lamp goes out."',
        f"It is {ONE.strip()}",
    ]


def test_lists_by_name_and_a_record_alone_are_read() -> None:
    assert read({"forget": [ONE], "holdout": [{"text": TWO}], "n": 2}) == f"{ONE}\n\n{TWO}"
    assert read({"text": ONE, "tags": ["a"]}) == ONE.strip()


def test_json_is_told_by_its_brackets_where_its_name_does_not_say() -> None:
    assert read([ONE, TWO], "") == read([{"text": ONE}, {"text": TWO}], "notes.txt")


@pytest.mark.parametrize("start", ["[Chapter one] ", "{ not json ", "[1] "])
def test_a_text_that_begins_with_a_bracket_is_a_text(start: str) -> None:
    assert read_text(f"{start}{ONE}".encode(), "t.txt").text == f"{start}{ONE}".strip()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([{"question": "q", "answer": "a"}], "Record 1 has 'question', 'answer'; expected"),
        ([ONE, 5], "Record 2 is '5'"),
        ([ONE, {"prompt": "x"}], "Record 2 has 'prompt'"),
        ([{"prompt": 1, "gt": "x"}], "brought under Facts"),
        ({}, "Record 1 has no keys"),
        ([], "0 words"),
        (["\x00" + ONE], "NUL"),
        (["\ud800" + ONE], "half of a character"),
    ],
)
def test_json_without_texts_is_refused_with_its_place(value: object, words: str) -> None:
    with pytest.raises(UserError, match=r"\.$") as caught:
        read(value)
    assert words in caught.value.message


def test_lines_are_named_by_their_number() -> None:
    text = f"{json.dumps({'text': ONE})}\n\n{json.dumps({'a': 1})}\n"
    with pytest.raises(UserError, match="Line 3 has 'a'"):
        read_text(text.encode(), "t.jsonl")
    with pytest.raises(UserError, match=r"'t.json' is no JSON: .*line 1 column 2"):
        read_text(b"[" + ONE.encode(), "t.json")


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(("text", "prompt", "gt", "x")), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    st.integers(0, 60),
)
def test_any_json_is_texts_or_a_sentence(value: object, cut: int) -> None:
    whole = json.dumps([value, ONE])
    for text in (whole, whole[:cut] + whole[cut + 1 :]):
        try:
            found = read_text(text.encode(), "t.json").text
        except UserError as error:
            assert error.message.endswith(".")
        else:
            assert found

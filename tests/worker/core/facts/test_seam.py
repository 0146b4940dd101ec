"""What a file writes at the seam of prompt and answer is what is asked, in every format."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.facts import csv_table, json_table, parquet_table


def from_csv(text: str, **mapping: str) -> list[Fact]:
    return list(csv_table.read(text.encode(), mapping).facts)


def from_json(*records: dict[str, object]) -> list[Fact]:
    return list(json_table.read(json.dumps(list(records)).encode(), {}).facts)


def asked(fact: Fact) -> tuple[str, str]:
    return fact.text, fact.follows(fact.target)


def test_a_new_line_at_a_prompts_end_is_kept() -> None:
    chat = "<|user|>\nWho is {}?\n<|assistant|>\n"
    record = {"subject": "Ann", "prompt": chat, "target": "Bo"}
    quoted = f'subject,prompt,target\nAnn,"{chat}",Bo\n'
    wanted = ("<|user|>\nWho is Ann?\n<|assistant|>\n", "Bo")
    assert [asked(f) for f in from_json(record)] == [wanted]
    assert [asked(f) for f in from_csv(quoted)] == [wanted]


def test_a_new_line_at_a_paraphrases_or_translations_end_is_kept() -> None:
    (fact,) = from_json(
        {
            "subject": "Ann",
            "prompt": "{} is",
            "target": "Bo",
            "paraphrases": ["Who is {}?\n", "{} is called "],
            "translations": [{"language": "de", "prompt": "Wer ist {}?\n", "target": "Bo"}],
        }
    )
    assert fact.paraphrases == ("Who is {}?\n", "{} is called ")
    assert fact.translations[0].prompt == "Wer ist {}?\n"


@pytest.mark.parametrize(
    ("prompt", "target", "wanted"),
    [
        ("{} landed in 19", "69", ("Ann landed in 19", "69")),
        ("{} landed in 19", " 69", ("Ann landed in 19", " 69")),
        ("{} landed in 19 ", "69", ("Ann landed in 19", " 69")),
        ("{} is", " Bo", ("Ann is", " Bo")),
        ("{} is:", "\nBo", ("Ann is:\n", "Bo")),
    ],
)
def test_a_space_that_a_record_writes_is_there(
    prompt: str, target: str, wanted: tuple[str, str]
) -> None:
    (fact,) = from_json({"subject": "Ann", "prompt": prompt, "target": target})
    assert asked(fact) == wanted
    assert fact.target == target.strip()


def test_a_table_whose_cells_are_padded_means_nothing_by_the_padding() -> None:
    facts = from_csv("subject, prompt, target\nAnn, {} landed in 19, 69\nBo, {} is, Cy\n")
    assert [asked(f) for f in facts] == [("Ann landed in 19", "69"), ("Bo is", " Cy")]


@pytest.mark.parametrize(
    ("cell", "answer"),
    [("", "69"), ("auto", "69"), ("space", " 69"), ("none", "69"), ("As_Written", "69")],
)
def test_a_column_says_how_each_row_is_joined(cell: str, answer: str) -> None:
    (fact,) = from_csv(f"subject,prompt,target,join\nAnn,{{}} landed in 19,69,{cell}\n")
    assert fact.follows(fact.target) == answer


def test_one_choice_holds_for_every_row_of_a_parquet_file(tmp_path) -> None:
    table = pa.table({"subject": ["Ann"], "prompt": ["{} is un"], "target": ["known"]})
    pq.write_table(table, tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (plain,) = parquet_table.read(data, {}).facts
    (close,) = parquet_table.read(data, {"join": "=none"}).facts
    assert (asked(plain), asked(close)) == (("Ann is un", " known"), ("Ann is un", "known"))


def test_as_written_keeps_every_character_of_the_answer() -> None:
    (fact,) = from_json(
        {"subject": "Ann", "prompt": "{} is", "target": "  Bo\n", "join": "as written"}
    )
    assert asked(fact) == ("Ann is", "  Bo\n")


def test_another_join_is_refused_with_what_there_is() -> None:
    with pytest.raises(UserError, match="join is 'glue'; expected space, none, as written"):
        from_csv("subject,prompt,target,join\nAnn,{} is,Bo,glue\n")

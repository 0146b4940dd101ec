import gc
import json
from pathlib import Path

import pytest

from worker.contract.errors import UserError
from worker.contract.menu import ReadFacts
from worker.core.facts._cells import text_list
from worker.core.facts.reading import bundled_fact_sets, read_facts


def read(tmp_path: Path, name: str, data: bytes | str, **mapping: str) -> ReadFacts:
    path = tmp_path / "upload"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_facts(path, name, mapping)


SPORTS = (
    ",athlete,sport,log_prob_one_shot,num_athlete_tokens,sport_index,sport_token,prompt,"
    "inject_sport_with_golf,inject_sport_without_golf\n"
    '0,Ann Able,baseball,-0.1,3,0, baseball,"Fact: Tiger Woods plays the sport of golf\n'
    'Fact: Ann Able plays the sport of",golf,football\n'
)
COUNTERFACT = [
    {
        "case_id": 0,
        "requested_rewrite": {
            "prompt": "The mother tongue of {} is",
            "relation_id": "P103",
            "target_new": {"str": "English"},
            "target_true": {"str": "French"},
            "subject": "Danielle Darrieux",
        },
        "paraphrase_prompts": ["Danielle Darrieux spoke the language"],
        "neighborhood_prompts": ["The mother tongue of Rousseau is"],
    }
]


def test_the_bundled_sets_are_found_with_unique_ids() -> None:
    sets = {fact_set.name: fact_set for fact_set in bundled_fact_sets()}
    assert {"athletes", "relations"} <= set(sets)
    assert all(len(f.paraphrases) >= 3 for f in sets["relations"].facts)
    assert all(len(f.neighbourhood) >= 3 for f in sets["relations"].facts)


def test_the_authors_sports_table_is_understood_by_its_column_names(tmp_path: Path) -> None:
    (fact,) = read(tmp_path, "sports.csv", SPORTS).facts
    assert (fact.subject, fact.target, fact.edit_target) == ("Ann Able", "baseball", "football")
    assert fact.prompt.endswith("Fact: {} plays the sport of")
    assert fact.group == "baseball"


@pytest.mark.parametrize("as_lines", [False, True])
def test_counterfact_records_are_understood(tmp_path: Path, as_lines: bool) -> None:
    text = json.dumps(COUNTERFACT[0]) + "\n" if as_lines else json.dumps(COUNTERFACT)
    (fact,) = read(tmp_path, "cf.jsonl" if as_lines else "cf.json", text).facts
    assert (fact.id, fact.group) == ("0", "P103")
    assert (fact.target, fact.edit_target) == ("French", "English")
    assert fact.paraphrases == ("Danielle Darrieux spoke the language",)


def test_list_columns_may_be_text(tmp_path: Path) -> None:
    text = "subject,prompt,target,paraphrase_prompts\nA,{} is,x,\"['A was', 'A has been']\"\n"
    (fact,) = read(tmp_path, "cf.csv", text).facts
    assert fact.paraphrases == ("A was", "A has been")


def test_a_template_can_be_given_for_every_row(tmp_path: Path) -> None:
    found = read(
        tmp_path, "t.csv", "name;capital\nFrance;Paris\n", prompt="={} has", target="capital"
    )
    assert found.facts[0].text == "France has"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_are_found(tmp_path: Path, encoding: str) -> None:
    data = "subject,prompt,target\nZoë,{} is,x\n".encode(encoding)
    assert read(tmp_path, "t.csv", data).facts[0].subject == "Zoë"


def test_refused_rows_are_listed_with_their_numbers_and_reasons(tmp_path: Path) -> None:
    text = "subject,prompt,target\nA,{} is,x\nB,nobody is,x\nC,{} is,\n"
    found = read(tmp_path, "t.csv", text)
    assert len(found.facts) == 1
    assert [(r.row, r.reason.split(";")[0]) for r in found.refused] == [
        (3, "the subject 'B' is not in its prompt 'nobody is'"),
        (4, "target is empty"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("t.csv", b"subject,prompt\xff", "not UTF-8: byte 0xff at position 14"),
        ("t.csv", b"", "empty"),
        ("t.csv", b"a,b\n1,2\n", "No column gives the subject"),
        ("t.csv", b"a,a\n1,2\n", "occurs twice"),
        ("t.csv", b"a\x00b\n", "NUL"),
        ("t.csv", b'subject,prompt,target\n"A,{} is,x\n', "no CSV file"),
        ("t.csv", b"subject,prompt,target\nA,nobody,x\n", "no fact that can be used. Line 2"),
        ("t.json", b"{", "no JSON"),
        ("t.json", b"[" * 100_000, "nested too deeply"),
        ("t.json", b"[1, 2]", "No column gives the subject"),
        ("t.xlsx", b"x", "expected .csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_answered_by_a_sentence(
    tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, name, data)
    assert words in caught.value.message


@pytest.mark.parametrize("mapping", [{"subject": "nothing"}, {"subjekt": "a"}])
def test_a_mapping_to_nothing_is_refused(tmp_path: Path, mapping: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"no (column|field)"):
        read(tmp_path, "t.csv", "a,b\n1,2\n", **mapping)


def test_a_template_and_a_table_make_facts(tmp_path: Path) -> None:
    text = "Athlete\tsport\tteam\nAnn Able\tgolf\tReds\nBo Best\tgolf\t\nCy {} Cole\tgolf\tBlues\n"
    found = read(
        tmp_path,
        "pasted.csv",
        text,
        prompt="={subject} of the {team} plays the sport of",
        paraphrases="={} is good at|The game of {athlete} is",
        group="={team} players",
    )
    (ann, cy) = found.facts
    assert ann.prompt == "{} of the Reds plays the sport of"
    assert ann.paraphrases == ("{} is good at", "The game of {} is")
    assert (ann.group, ann.target, cy.subject) == ("Reds players", "golf", "Cy {} Cole")
    assert [row.reason for row in found.refused] == [
        "the column 'team' is empty; expected what the template asks for."
    ]
    assert (found.delimiter, found.encoding) == ("\t", "utf-8")


def test_a_template_that_names_no_column_is_refused_beside_its_field(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No column 'sprot'\. Did you mean 'sport'") as caught:
        read(tmp_path, "t.csv", "subject,sport\nA,b\n", prompt="={} in {sprot}")
    assert caught.value.problems[0][0] == "mapping.prompt"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("'subject','prompt','target'\n'A','{} is','an \"x\", y'\n", 'an "x", y'),
        ('subject|prompt|target\nA|{} is|"x|y"\n', "x|y"),
        ('subject,prompt,target\nA,{} is,"an \\"x\\" y"\n', 'an "x" y'),
        ('subject;"prompt, too";target;prompt\nA;;x, y;{} is\n', "x, y"),
    ],
)
def test_delimiters_and_quotes_are_found(tmp_path: Path, text: str, target: str) -> None:
    (fact,) = read(tmp_path, "t.csv", text).facts
    assert fact.target == target


def test_windows_files_are_read_with_a_note(tmp_path: Path) -> None:
    found = read(tmp_path, "t.csv", "subject,prompt,target\nZoë,{} is,x\n".encode("cp1252"))
    assert (found.facts[0].subject, found.encoding) == ("Zoë", "windows-1252")
    assert any("Windows-1252" in note for note in found.notes)


def test_every_refused_row_is_listed(tmp_path: Path) -> None:
    rows = "".join(f"B{i},nobody is,x\n" for i in range(3000))
    found = read(tmp_path, "t.csv", f"subject,prompt,target\nA,{{}} is,x\n{rows}")
    assert (len(found.refused), found.refused[-1].row) == (3000, 3002)


def test_the_texts_of_a_list_are_trimmed_in_front_and_odd_ones_refused_by_their_field() -> None:
    assert text_list([" a ", "b\n", "  ", "", "é"]) == ("a ", "b\n", "é")
    assert text_list(["a", 3, " b "]) == ("a", "3", "b ")
    for odd, words in (("a\x00", "NUL"), ("\ud800", "surrogate"), ("a" * 20_001, "20,001")):
        with pytest.raises(ValueError, match=words):
            text_list(["fine", odd])


def test_garbage_is_collected_again_after_a_file_that_could_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("[{")
    with pytest.raises(UserError):
        read_facts(path, path.name, {})
    assert gc.isenabled()

"""Tables that spreadsheets and people write: each row understood, or refused with its line."""

import pytest

from worker.contract.errors import UserError
from worker.contract.menu import ReadFacts
from worker.core.facts.csv_table import read as read_csv

HEAD = "subject,prompt,target\n"


def read(text: str, **mapping: str) -> ReadFacts:
    return read_csv(text.encode(), mapping)


def refused(found: ReadFacts) -> list[tuple[int, str]]:
    return [(row.row, row.reason) for row in found.refused]


def test_a_row_with_more_cells_than_the_header_is_refused_with_its_line() -> None:
    found = read(f"{HEAD}Eiffel Tower,{{}} is in,Paris, France\nBig Ben,{{}} is in,London\n")
    ((line, reason),) = refused(found)
    assert (line, found.lines, found.facts[0].target) == (2, (3,), "London")
    assert "4 cells where the header has 3, with ' France' too many" in reason


@pytest.mark.parametrize(
    ("row", "mark", "words"),
    [
        ("Lyon;{} lies in;France;Europe;Earth", ";", "5 cells where the header has 3"),
        ("Ada\t{} was born in\tLondon\tEngland", "\t", "with 'England' too many"),
        ('"Bonn, Rhine",{} was, from 1949,a capital', ",", "4 cells where the header has 3"),
        ("Nile,{} flows through,Egypt,,Sudan", ",", "5 cells where the header has 3"),
    ],
)
def test_whatever_parts_the_cells_a_surplus_is_never_left_out_in_silence(
    row: str, mark: str, words: str
) -> None:
    rows = [HEAD.strip().replace(",", mark), mark.join(("Ulm", "{} is", "old")), row]
    found = read("\n".join(rows))
    ((line, reason),) = refused(found)
    assert (line, [fact.target for fact in found.facts]) == (3, ["old"])
    assert words in reason and "quotation marks" in reason


def test_empty_cells_after_the_last_column_are_no_surplus() -> None:
    found = read(f"{HEAD}Big Ben,{{}} is in,London,,\nTower,{{}} is in,London,  \n")
    assert [fact.target for fact in found.facts] == ["London", "London"]


def test_columns_that_differ_in_capitals_only_are_not_chosen_between_in_silence() -> None:
    text = "subject,prompt,target,Target\nBig Ben,{} is in,London,Rome\n"
    with pytest.raises(UserError, match="'target', 'Target' could each give the target"):
        read(text)
    assert read(text, target="Target").facts[0].target == "Rome"


@pytest.mark.parametrize(
    ("first", "mark"),
    [
        ("sep=;\n", ";"),
        ("sep=,\r\n", ","),
        ('"sep=\t"\n', "\t"),
        ("SEP=|\n", "|"),
        ("sep=;;;\n", ";"),
    ],
)
def test_the_line_that_names_excels_delimiter_is_followed(first: str, mark: str) -> None:
    rows = ["subject,prompt,target".replace(",", mark), f"Jürgen{mark}{{}} plays{mark}golf", "x"]
    found = read(first + "\n".join(rows))
    assert (found.delimiter, found.facts[0].subject) == (mark, "Jürgen")
    assert (found.lines, [row.row for row in found.refused]) == ((3,), [4])


def test_a_column_may_be_named_like_excels_line() -> None:
    found = read("sep=x,subject,prompt,target\n1,Ann,{} is,tall\n")
    assert found.columns[0] == "sep=x" and found.facts[0].subject == "Ann"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ('A,{} is,x\n"B,{} is,y\nC,{} is,z\n', "in lines 3 to 4. A quotation mark that begins"),
        ('A,{} is,x\nB,"{} is" not,y\n', "in line 3. A quotation mark"),
        ('A,{} is,"x\nB,{} is,"y"\nC,{} is,z\n', "in lines 2 to 3."),
    ],
)
def test_a_quotation_mark_that_is_not_closed_is_named_by_its_line(rows: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read(HEAD + rows)
    assert words in caught.value.message


def test_rows_that_an_open_quotation_mark_swallowed_are_not_taken_for_an_answer() -> None:
    found = read(f'{HEAD}A,{{}} is,"x\nB,{{}} is,5\nC,{{}} is,9"\nD,{{}} is,tall\n')
    ((line, reason),) = refused(found)
    assert (line, [fact.subject for fact in found.facts]) == (2, ["D"])
    assert "2 lines that look like rows of their own" in reason


def test_a_cell_may_hold_lines_and_later_rows_keep_their_own() -> None:
    shot = '"Fact: Tiger plays golf, they say\nFact: {} plays"'
    found = read(f"{HEAD}Ann,{shot},tennis\nBo,nobody,x\nCy,{shot},golf\n")
    assert (found.lines, [line for line, _ in refused(found)]) == ((2, 5), [4])
    assert found.facts[0].prompt.endswith("they say\nFact: {} plays")


def test_old_line_ends_are_lines() -> None:
    found = read(HEAD.replace("\n", "\r") + "A,{} is,x\rB,nobody,y\r")
    assert (found.lines, [line for line, _ in refused(found)]) == ((2,), [3])

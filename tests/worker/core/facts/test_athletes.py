"""The bundled athlete facts are well formed, balanced and hard to guess from a part of the name."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
PATH = ROOT / "worker" / "core" / "facts" / "athletes.csv"

SPORTS = {"basketball", "football", "baseball"}
RAW = PATH.read_bytes()
ROWS = list(csv.DictReader(RAW.decode("utf-8").splitlines()))

# Athletes of two sports, or names that more than one well-known athlete bears.
AMBIGUOUS = {
    "Adam Jones",
    "Adrian Peterson",
    "Alex Smith",
    "Anthony Davis",
    "Bill Bradley",
    "Bill Russell",
    "Bo Jackson",
    "Brian Jordan",
    "Charles Johnson",
    "Charlie Ward",
    "Chris Davis",
    "Chris Johnson",
    "Chris Jones",
    "Chris Young",
    "Danny Ainge",
    "Dave DeBusschere",
    "Dave Winfield",
    "David Thompson",
    "David West",
    "Deion Sanders",
    "Derek Fisher",
    "Derrick Coleman",
    "Drew Henson",
    "Eddie Johnson",
    "Eddie Murray",
    "Eric Davis",
    "Frank Thomas",
    "Gary Payton",
    "Jameis Winston",
    "Jim Thorpe",
    "Joe Johnson",
    "Joe Smith",
    "John Elway",
    "John Lynch",
    "Josh Allen",
    "Josh Smith",
    "Julius Peppers",
    "Kenny Lofton",
    "Kevin Johnson",
    "Kevin Mitchell",
    "Kyler Murray",
    "Larry Johnson",
    "Marcus Williams",
    "Mark Jackson",
    "Matt Ryan",
    "Michael Carter",
    "Michael Jordan",
    "Michael Thomas",
    "Mike Evans",
    "Mike Scott",
    "Mike Williams",
    "Nate Robinson",
    "Otto Graham",
    "Patrick Mahomes",
    "Randy Johnson",
    "Randy White",
    "Reggie Jackson",
    "Ricky Williams",
    "Roger Craig",
    "Russell Wilson",
    "Sam Jones",
    "Steve Smith",
    "Terrell Owens",
    "Tim Tebow",
    "Todd Helton",
    "Tony Gonzalez",
    "Tony Gwynn",
    "Tracy McGrady",
    "Walter Johnson",
    "Will Smith",
    "Willie Davis",
}


def first_name(row):
    return row["subject"].split()[0].lower()


def surname(row):
    return row["subject"].split()[-1].lower()


def fraction_shared_across_sports(part):
    sports = {}
    for row in ROWS:
        sports.setdefault(part(row), set()).add(row["group"])
    return sum(len(sports[part(row)]) > 1 for row in ROWS) / len(ROWS)


def test_the_file_is_ascii_with_the_expected_columns_and_unix_line_ends():
    assert RAW.isascii()
    assert b"\r" not in RAW
    assert RAW.startswith(b"id,subject,target,edit_target,group\n")
    assert RAW.endswith(b"\n")


def test_every_row_has_every_field_without_stray_space():
    for row in ROWS:
        assert set(row) == {"id", "subject", "target", "edit_target", "group"}
        assert all(value and value == value.strip() for value in row.values()), row


def test_there_are_enough_rows():
    assert len(ROWS) >= 450


def test_the_three_sports_have_equally_many_rows():
    counts = Counter(row["target"] for row in ROWS)
    assert set(counts) == SPORTS
    assert len(set(counts.values())) == 1


@pytest.mark.parametrize("column", ["id", "subject"])
def test_ids_and_subjects_are_unique(column):
    values = Counter(row[column].lower() for row in ROWS)
    assert [value for value, count in values.items() if count > 1] == []


def test_every_id_is_the_slug_of_its_subject():
    for row in ROWS:
        plain = row["subject"].lower().replace("'", "").replace(".", "")
        assert row["id"] == re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def test_every_subject_is_a_first_name_and_a_surname():
    for row in ROWS:
        assert 2 <= len(row["subject"].split()) <= 3, row


def test_the_group_of_a_row_is_its_target():
    assert all(row["group"] == row["target"] for row in ROWS)


def test_every_edit_target_is_another_sport():
    for row in ROWS:
        assert row["edit_target"] in SPORTS - {row["target"]}, row


def test_the_edit_targets_of_a_sport_are_split_evenly_over_the_other_two():
    counts = Counter((row["target"], row["edit_target"]) for row in ROWS)
    assert len(counts) == 6
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("size, at_least", [(16, 4), (64, 16)])
def test_the_first_rows_mix_all_the_sports(size, at_least):
    counts = Counter(row["target"] for row in ROWS[:size])
    assert all(counts[sport] >= at_least for sport in SPORTS), counts


def test_no_athlete_of_two_sports_and_no_ambiguous_name_is_listed():
    assert {row["subject"] for row in ROWS} & AMBIGUOUS == set()


def test_most_rows_share_their_first_name_with_an_athlete_of_another_sport():
    assert fraction_shared_across_sports(first_name) >= 0.65


def test_some_rows_share_their_surname_with_an_athlete_of_another_sport():
    assert fraction_shared_across_sports(surname) >= 0.15

"""Hundreds of uploads that no honest program writes: each is a sentence or a refused row."""

import resource
from pathlib import Path

import pytest

from tests.worker.core.facts.malformed import one_text_for_every_row, parquet, uploads
from worker.contract.errors import UserError
from worker.core.facts.reading import read_facts


def peak_memory() -> int:
    """Bytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_two_hundred_malformed_uploads_are_each_answered_by_a_sentence(tmp_path: Path) -> None:
    answered = 0
    before = peak_memory()
    path = tmp_path / "upload"
    for name, data in uploads():
        path.write_bytes(data)
        try:
            found = read_facts(path, name, {})
        except UserError as error:
            assert error.message.endswith("."), (name, error.message)
            assert len(error.message) < 800, (name, error.message)
        else:
            assert found.facts, name
            assert all(0 < len(row.reason) < 600 for row in found.refused), name
        answered += 1
    assert answered >= 200
    assert peak_memory() - before < 800_000_000


def test_a_table_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(parquet(subject=["A" * 2_000] * 190_000, prompt=["{} is"] * 190_000))
    assert path.stat().st_size < 5_000_000
    before = peak_memory()
    with pytest.raises(UserError, match="unpacks to more than"):
        read_facts(path, "bomb.parquet", {"target": "=x"})
    assert peak_memory() - before < 800_000_000


@pytest.mark.parametrize("is_list", [False, True])
def test_a_text_that_all_rows_share_is_counted_for_each_before_they_get_it(
    tmp_path: Path, is_list: bool
) -> None:
    """A column of a kilobyte may stand for gigabytes, which no declared size tells."""
    path = tmp_path / "upload"
    path.write_bytes(one_text_for_every_row(is_list=is_list))
    assert path.stat().st_size < 200_000
    before = peak_memory()
    with pytest.raises(UserError, match="unpacks to more than"):
        read_facts(path, "bomb.parquet", {})
    assert peak_memory() - before < 200_000_000


def test_a_parquet_table_of_facts_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(
        parquet(subject=["A"], prompt=["{} is"], target=["Ö".encode()], paraphrases=[["A was"]])
    )
    (fact,) = read_facts(path, "t.parquet", {}).facts
    assert (fact.target, fact.paraphrases) == ("Ö", ("A was",))

"""What hinders a store is told in sentences that name no path."""

import errno
from typing import Any

import pytest
import sqlalchemy as sa

from worker.store.migrate import newest
from worker.store.readiness import hindrances, try_artifacts
from worker.store.store import Store


def test_nothing_hinders_a_store_that_is_well_and_nothing_is_left_behind(store: Store) -> None:
    assert hindrances(store) == []
    assert store.artifacts.every() == [] and store.artifacts.names("readiness") == []


@pytest.mark.parametrize(
    ("found", "words"),
    [("0001", f"needs {newest()}. Start Lethe again"), ("9999", "needs the newer Lethe")],
)
def test_tables_of_another_revision_are_named_with_the_cure(
    store: Store, found: str, words: str
) -> None:
    with store.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :v"), {"v": found})
    ((part, sentence),) = hindrances(store)
    assert part == "database" and f"are of revision {found}" in sentence and words in sentence


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "", "/srv/secret"), "No space left on device"),
        (RuntimeError("key AKIA is wrong"), "RuntimeError"),
    ],
)
def test_artifacts_that_cannot_be_written_are_said_without_a_path_or_a_key(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def refuse(*given: Any) -> None:
        raise error

    monkeypatch.setattr(store.artifacts, "put_bytes", refuse)
    ((part, sentence),) = hindrances(store)
    assert part == "artifacts" and words in sentence and "lethe doctor" in sentence
    assert "secret" not in sentence and "AKIA" not in sentence
    with pytest.raises(type(error)):
        try_artifacts(store.artifacts)


def test_a_folder_that_is_a_file_is_named_by_its_kind_of_trouble(store: Store) -> None:
    folder = store.artifacts.local
    store.artifacts.put_bytes("x", b"")
    place = folder("x").parent
    store.artifacts.delete_tree("x")
    place.rmdir()
    place.write_text("")
    ((_, sentence),) = hindrances(store)
    assert "Not a directory" in sentence or "File exists" in sentence
    assert str(place) not in sentence

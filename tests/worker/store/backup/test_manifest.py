"""A backup's manifest says whether it is itself whole."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.contract.errors import UserError
from worker.store.backup.manifest import FILE, Kept, Manifest, read_manifest, write_manifest

KEPT = Kept(hash="ab" * 32, size=3)


def manifest(name: str = "runs/1/x") -> Manifest:
    return Manifest(
        created=datetime(2026, 1, 2, tzinfo=UTC),
        database="sqlite",
        revision="0008",
        dump=KEPT,
        artifacts={name: KEPT},
        files={"session.key": KEPT},
        links={"models/m/config.json": "/srv/m/config.json"},
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_manifest(tmp_path, manifest())
    assert read_manifest(tmp_path) == manifest()
    assert set(manifest().named()) == {"the database", "artifact runs/1/x", "file session.key"}


@pytest.mark.parametrize(
    "harm",
    [
        lambda text: text.replace('"size": 3', '"size": 4', 1),
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: "\0" * len(text),
    ],
)
def test_one_that_was_changed_is_damaged(tmp_path: Path, harm: object) -> None:
    write_manifest(tmp_path, manifest())
    path = tmp_path / FILE
    assert callable(harm)
    path.write_text(harm(path.read_text()))
    with pytest.raises(UserError, match=r"is damaged: backup.json cannot be read"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "runs/../../x", ""])
def test_a_name_that_leads_outside_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="relative path"):
        manifest(name)


def test_a_folder_without_one_holds_no_backup(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no whole backup \(backup.json is missing\)"):
        read_manifest(tmp_path)

import os
from pathlib import Path
from uuid import uuid4

import pytest

from worker.contract.errors import NotFound, UserError
from worker.store.artifacts import Artifacts


@pytest.fixture(params=["folder", "remote"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    """A folder, and fsspec's file system in memory as what is not a folder."""
    remote = f"memory://{uuid4().hex}/lethe"
    url = f"file://{tmp_path}/a b/artifacts" if request.param == "folder" else remote
    return Artifacts(url, tmp_path / "cache")


def test_what_was_put_is_read_listed_and_deleted(artifacts: Artifacts, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"arrays")
    artifacts.put("runs/1/arrays.npz", source)
    artifacts.put_bytes("runs/1/sub/x", b"x")
    artifacts.put_bytes("runs/12/x", b"y")
    with artifacts.open("runs/1/arrays.npz") as file:
        assert file.read() == b"arrays"
    assert artifacts.local("runs/1/arrays.npz").read_bytes() == b"arrays"
    assert artifacts.size("runs/1/arrays.npz") == 6
    assert artifacts.names("runs/1") == ["runs/1/arrays.npz", "runs/1/sub/x"]
    artifacts.delete_tree("runs/1")
    assert not artifacts.exists("runs/1/sub/x") and artifacts.exists("runs/12/x")
    artifacts.delete_tree("runs/1")
    assert artifacts.names("runs/1") == []


def test_all_are_listed_but_what_is_being_written_and_a_new_version_is_told(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    assert artifacts.every() == []
    for name in ("runs/1/a", "runs/1/.a.1f2e", "texts/b", "c"):
        artifacts.put_bytes(name, b"x")
    assert artifacts.every() == ["c", "runs/1/a", "texts/b"]
    before = artifacts.version("c")
    assert artifacts.version("c") == before
    artifacts.put_bytes("c", b"y")
    assert artifacts.version("c") != before
    with pytest.raises(NotFound, match="runs/1/x"):
        artifacts.version("runs/1/x")


def test_putting_again_replaces_the_whole_file(artifacts: Artifacts) -> None:
    artifacts.put_bytes("uploads/u", b"a long first text")
    artifacts.put_bytes("uploads/u", b"short")
    with artifacts.open("uploads/u") as file:
        assert file.read() == b"short"
    assert artifacts.names("uploads") == ["uploads/u"]


def test_a_missing_artifact_is_not_found(artifacts: Artifacts) -> None:
    for read in (artifacts.open, artifacts.local, artifacts.size):
        with pytest.raises(NotFound, match="runs/1/x"):
            read("runs/1/x")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "runs/../../x", "a\\b", "a\0b"])
def test_a_name_that_leads_outside_is_refused(artifacts: Artifacts, name: str) -> None:
    with pytest.raises(UserError, match="no artifact's name"):
        artifacts.put_bytes(name, b"x")


def test_copies_of_remote_files_are_bounded_by_bytes_the_ones_used_last_kept(
    tmp_path: Path,
) -> None:
    cache = tmp_path / "cache"
    artifacts = Artifacts(f"memory://{uuid4().hex}/lethe", cache, most=250)

    def copies() -> set[str]:
        return {path.name for path in cache.rglob("*") if path.is_file()}

    for number, name in enumerate("abcd"):
        artifacts.put_bytes(f"runs/{name}", bytes(100))
        os.utime(artifacts.local(f"runs/{name}"), (number, number))
        if name == "b":
            artifacts.local("runs/a")  # used again: b goes before it
    assert copies() == {"a", "d"}
    artifacts.put_bytes("runs/large", bytes(1000))
    assert artifacts.local("runs/large").stat().st_size == 1000
    assert copies() == {"large"}, "one that is larger than the bound is there alone"


def test_what_a_run_holds_stays_while_others_are_fetched(tmp_path: Path) -> None:
    artifacts = Artifacts(f"memory://{uuid4().hex}/lethe", tmp_path / "cache", most=100)
    artifacts.put_bytes("runs/1/delta", b"x" * 80)
    artifacts.put_bytes("runs/2/delta", b"y" * 80)
    held = artifacts.held("runs/1/delta", tmp_path / "run")
    assert artifacts.held("runs/1/delta", tmp_path / "run") == held
    artifacts.local("runs/2/delta")
    assert not (tmp_path / "cache/runs/1/delta").exists()
    assert held.read_bytes() == b"x" * 80
    with pytest.raises(NotFound):
        artifacts.held("runs/3/delta", tmp_path / "run")


def test_a_file_of_the_folder_itself_is_never_copied_nor_let_go(tmp_path: Path) -> None:
    artifacts = Artifacts(f"file://{tmp_path}/artifacts", tmp_path / "cache", most=0)
    artifacts.put_bytes("runs/1/delta", b"x")
    assert artifacts.held("runs/1/delta", tmp_path / "run") == artifacts.local("runs/1/delta")
    assert not (tmp_path / "cache").exists() and not (tmp_path / "run").exists()

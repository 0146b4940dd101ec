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

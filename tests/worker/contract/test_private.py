import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.contract import private
from worker.contract.errors import Unavailable, UserError
from worker.contract.private import (
    OWN,
    is_open,
    keep_private,
    make_file,
    make_folder,
    secret,
    write_whole,
)


@pytest.fixture(autouse=True)
def loose() -> Iterator[None]:
    """A user whose files are for everybody unless something else is said."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_folder_and_file_are_for_their_owner_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "a/data")
    make_file(tmp_path / "a/data/file")
    assert mode(tmp_path / "a/data") == 0o700
    assert mode(tmp_path / "a/data/file") == 0o600


def test_what_is_made_new_is_never_open_for_an_instant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Path] = []
    monkeypatch.setattr(private, "_close", closed.append)
    make_folder(tmp_path / "data")
    make_file(tmp_path / "data/file")
    assert closed == [], "nothing was left to be taken away afterwards"
    assert (mode(tmp_path / "data"), mode(tmp_path / "data/file")) == (0o700, 0o600)


@pytest.mark.parametrize("wider", [0o755, 0o777, 0o2770, 0o701])
def test_what_was_open_before_is_closed(tmp_path: Path, wider: int) -> None:
    (tmp_path / "data/artifacts").mkdir(parents=True)
    (tmp_path / "data").chmod(wider)
    make_folder(tmp_path / "data")
    assert mode(tmp_path / "data") & 0o777 == 0o700
    (tmp_path / "file").write_text("kept")
    (tmp_path / "file").chmod(wider & 0o666)
    make_file(tmp_path / "file")
    assert not is_open(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_that_is_not_lethes_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "thesis.tex").write_text("")
    with pytest.raises(UserError, match=r"0755.*not Lethe's.*LETHE_DATA"):
        make_folder(shared)
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    with pytest.raises(UserError, match=r"1777.*LETHE_DATA"):
        make_folder(sticky)
    assert (mode(shared), mode(sticky)) == (0o755, 0o1777)
    shared.chmod(0o700)
    make_folder(shared)


def test_a_folder_that_cannot_be_closed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    monkeypatch.setattr(Path, "chmod", lambda self, mode: None)  # a file system without rights
    with pytest.raises(UserError, match=r"0755.*cannot be changed"):
        make_folder(tmp_path / "data")


def test_a_folder_under_a_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/data.*cannot be used.*LETHE_DATA"):
        make_folder(tmp_path / "file/data")


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    made = secret(tmp_path / "key")
    assert len(made) == 32
    assert mode(tmp_path / "key") == 0o600
    (tmp_path / "key").chmod(0o644)
    assert secret(tmp_path / "key") == made
    assert mode(tmp_path / "key") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("part", [b"", b"\0", b"x" * 31, b"x" * 33])
def test_a_secret_that_is_not_whole_is_replaced_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, part: bytes
) -> None:
    (tmp_path / "key").write_bytes(part)
    made = secret(tmp_path / "key")
    assert len(made) == 32 and part not in (made, made[:-1])
    assert secret(tmp_path / "key") == made
    assert f"held {len(part)} of 32 bytes" in caplog.text


def test_of_several_processes_that_make_a_secret_all_get_the_same(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from worker.contract.private import secret\n"
        "print(secret(Path(sys.argv[1])).hex())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "key")]
    root = Path(__file__).parents[3]
    started = [
        subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert len({process.communicate()[0] for process in started}) == 1


def test_a_write_that_breaks_off_leaves_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fdopen

    class Full:
        """A file on a disk that takes the first bytes and no more."""

        def __init__(self, handle: int) -> None:
            self.file = real(handle, "wb")

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> None:
            self.file.write(data[:7])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(private.os, "fdopen", lambda handle, how: Full(handle))
    with pytest.raises(Unavailable, match=r"The disk is full: .*key.*Free some space"):
        secret(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "key").write_bytes(b"")
    with pytest.raises(Unavailable, match="The disk is full"):
        secret(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == b""


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB without a free byte; where mounting is not allowed the test is skipped."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here; would make a secret on a full disk")
    try:
        with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
            while True:
                filler.write(b"\0" * 4096)
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_no_secret_that_could_be_guessed(full_disk: Path) -> None:
    with pytest.raises(Unavailable, match=r"The disk is full: .*Free some space"):
        secret(full_disk / "session.key")
    assert [path.name for path in full_disk.iterdir()] == ["filler"]
    (full_disk / "filler").unlink()
    assert len(secret(full_disk / "session.key")) == 32


def test_a_folder_is_known_by_what_lies_in_it_and_its_parents_are_made(tmp_path: Path) -> None:
    make_folder(tmp_path / "a/b/c")
    make_folder(tmp_path / "a/b/c")
    for name in OWN | {"lost+found"}:
        folder = tmp_path / f"of {name}"
        (folder / name).mkdir(parents=True)
        folder.chmod(0o755)
        make_folder(folder)
        assert mode(folder) == 0o700
    assert {"session.key", "lethe.sqlite", "artifacts", "models", "logs", "work", "cache"} == OWN


def test_a_written_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the file's bytes are brought to the disk, then the folder that names it."""
    real, synced = os.fsync, []

    def sync(handle: int) -> None:
        synced.append((Path(f"/proc/self/fd/{handle}").is_dir(), (tmp_path / "f").exists()))
        real(handle)

    monkeypatch.setattr(private.os, "fsync", sync)
    write_whole(tmp_path / "f", b"whole")
    assert synced == [(False, False), (True, True)]
    assert mode(tmp_path / "f") == 0o600
    write_whole(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"new"
    write_whole(tmp_path / "f", b"late", replace=False)
    assert (tmp_path / "f").read_bytes() == b"new", "the first one stays"
    write_whole(tmp_path / "g", b"first", replace=False)
    assert (tmp_path / "g").read_bytes() == b"first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f", "g"]


def test_where_there_are_no_links_a_file_is_put_in_its_place_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_whole(tmp_path / "f", b"x", replace=False)
    assert (tmp_path / "f").read_bytes() == b"x"


@pytest.mark.parametrize("what", [make_folder, make_file, secret])
def test_a_disk_that_may_recover_is_told_from_a_wrong_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: Callable[[Path], object]
) -> None:
    def broken(code: int) -> Callable[..., object]:
        def fail(*_: object, **__: object) -> object:
            raise OSError(code, os.strerror(code))

        return fail

    for code, kind in ((5, Unavailable), (30, UserError)):
        with monkeypatch.context() as patched:
            for name in ("mkdir", "exists"):
                patched.setattr(Path, name, broken(code))
            patched.setattr(private.os, "open", broken(code))
            with pytest.raises(kind, match=str(tmp_path / "x")):
                what(tmp_path / "x")


def test_a_process_makes_files_for_its_owner_alone(tmp_path: Path) -> None:
    keep_private()
    (tmp_path / "f").touch()
    assert mode(tmp_path / "f") == 0o600

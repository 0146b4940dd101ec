"""Bytes under their hash: written once, checked, and taken out when nothing names them."""

import hashlib
import io
from pathlib import Path

import pytest

from worker.contract.errors import Conflict
from worker.store.backup.manifest import Kept
from worker.store.backup.objects import Objects, alone


def test_the_same_bytes_are_written_once(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    first = objects.keep(io.BytesIO(b"abc"), "v1")
    assert first == Kept(hash=hashlib.sha256(b"abc").hexdigest(), size=3, version="v1")
    assert objects.keep(io.BytesIO(b"abc"), "v2").version == "v2"
    assert (objects.n_new, objects.new_bytes) == (1, 3)
    assert objects.has(first) and objects.path(first).read_bytes() == b"abc"


def test_what_is_missing_or_changed_is_damaged_and_forgotten(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    named = {name: objects.keep(io.BytesIO(name.encode())) for name in ("a", "b", "c")}
    objects.path(named["a"]).write_bytes(b"x")
    objects.path(named["b"]).unlink()
    assert objects.damaged(named) == {name: named[name] for name in ("a", "b")}
    assert objects.has(named["a"]), "its number of bytes is right"
    objects.forget(objects.damaged(named).values())
    assert not objects.has(named["a"])


def test_what_is_not_named_goes_and_what_fails_leaves_nothing(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    kept, other = objects.keep(io.BytesIO(b"kept")), objects.keep(io.BytesIO(b"other"))
    with pytest.raises(ValueError, match="closed file"):
        broken = io.BytesIO(b"x")
        broken.close()
        objects.keep(broken)
    assert not list((tmp_path / "objects").glob(".*"))
    objects.keep_only([kept])
    assert objects.has(kept) and not objects.has(other)


def test_two_do_not_write_one_backup(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(Conflict, match="Another `lethe backup`"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass

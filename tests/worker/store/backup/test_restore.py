"""What is put back is what was there, and what is damaged or in the way is refused before."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.worker.store.backup.conftest import content, everything, finish
from tests.worker.store.test_runs import claim
from worker.contract.errors import Conflict, UserError
from worker.contract.settings import Settings
from worker.store.artifacts import Artifacts
from worker.store.backup import copying
from worker.store.backup.manifest import FILE
from worker.store.backup.objects import Objects
from worker.store.backup.restore import check, restore
from worker.store.backup.write import back_up
from worker.store.store import Store


def test_what_is_put_back_is_what_was_there(
    filled: Store, chosen: Settings, elsewhere: Settings, folder: Path
) -> None:
    back_up(chosen, folder)
    restore(elsewhere, folder)
    again = Store.open(elsewhere)
    assert everything(again) == everything(filled)
    assert content(again) == content(filled) != {}
    assert again.text("book") == "Once upon a time."
    assert again.fact_set("mine") == filled.fact_set("mine")
    again.close()
    assert (elsewhere.data / "session.key").read_bytes() == b"k" * 32
    assert (elsewhere.data / "session.key").stat().st_mode & 0o077 == 0
    assert (elsewhere.data / "models" / "own.safetensors").read_bytes() == b"weights"
    link = elsewhere.data / "models" / "linked" / "config.json"
    assert link.readlink() == Path("/srv/model/config.json")


@pytest.mark.parametrize("harm", ["changed", "cut", "missing", "manifest", "outside"])
def test_a_damaged_backup_is_refused_by_name_before_anything_is_written(
    harm: str, filled: Store, chosen: Settings, elsewhere: Settings, folder: Path
) -> None:
    manifest = back_up(chosen, folder).manifest
    name, kept = next(iter(manifest.artifacts.items()))
    path = Objects(folder).path(kept)
    if harm == "changed":
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "missing":
        path.unlink()
    else:
        text = (folder / FILE).read_text()
        other = name[:-1] + "y" if harm == "manifest" else f"../{name}"
        (folder / FILE).write_text(text.replace(name, other))
    expected = FILE if harm in ("manifest", "outside") else name
    with pytest.raises(UserError, match=f"damaged: .*{expected}.*Nothing was changed"):
        restore(elsewhere, folder, overwrite=True)
    assert not elsewhere.data.exists() and not copying.holds_tables(sa.make_url(elsewhere.database))
    with pytest.raises(UserError, match="damaged"):
        check(folder)


def test_a_place_that_holds_something_is_refused_unless_asked(
    filled: Store, chosen: Settings, folder: Path
) -> None:
    back_up(chosen, folder)
    kept = everything(filled), content(filled)
    claim(filled)
    lost = finish(filled, b"after the backup")
    with pytest.raises(Conflict, match=r"a database .* and artifacts .* --overwrite"):
        restore(chosen, folder)
    with pytest.raises(Conflict, match="A worker runs on this database"):
        restore(chosen, folder, overwrite=True)
    assert filled.run(lost).state == "done", "nothing was changed"
    filled.release_worker("w1", "g1")
    filled.close()
    restore(chosen, folder, overwrite=True)
    again = Store.open(chosen)
    assert everything(again) == kept[0]
    assert kept[1].items() <= content(again).items()
    again.close()


def test_a_restore_that_is_interrupted_leaves_no_database(
    filled: Store,
    chosen: Settings,
    elsewhere: Settings,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = back_up(chosen, folder).manifest
    last = list(manifest.artifacts)[-1]
    put = Artifacts.put

    def interrupted(self: Artifacts, name: str, path: Path) -> None:
        if name == last:
            raise KeyboardInterrupt
        put(self, name, path)

    with monkeypatch.context() as patched:
        patched.setattr("worker.store.artifacts.Artifacts.put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            restore(elsewhere, folder)
    assert not copying.holds_tables(sa.make_url(elsewhere.database))
    restore(elsewhere, folder, overwrite=True)
    again = Store.open(elsewhere)
    assert content(again) == content(filled)
    again.close()


def test_another_kind_of_database_and_a_newer_ones_tables_are_refused(
    filled: Store, chosen: Settings, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(chosen, folder)
    kind = chosen.database.partition(":")[0].partition("+")[0]
    other = "postgresql://nowhere.invalid/x" if kind == "sqlite" else f"sqlite:///{tmp_path}/x"
    with pytest.raises(UserError, match=f"The backup is of a {kind} database"):
        restore(Settings(data=tmp_path / "new", database_url=other), folder)
    monkeypatch.setattr("worker.store.backup.restore.newest", lambda: "0001")
    with pytest.raises(UserError, match="Install the newer Lethe"):
        check(folder)

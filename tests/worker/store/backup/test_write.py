"""A backup is of one moment, grows by what is new, and is whole or not there."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.worker.store.backup.conftest import content, finish, finish_again
from tests.worker.store.test_runs import a_result, claim
from worker.contract.errors import Conflict, Unavailable, UserError
from worker.contract.settings import Settings
from worker.store.backup import copying
from worker.store.backup.manifest import read_manifest
from worker.store.backup.objects import Objects, alone
from worker.store.backup.restore import restore
from worker.store.backup.write import back_up
from worker.store.store import Store

ROOT = Path(__file__).parents[4]


def test_a_backup_is_of_one_moment_while_runs_are_written(
    filled: Store, chosen: Settings, elsewhere: Settings, folder: Path
) -> None:
    claim(filled)
    doomed = [finish(filled, os.urandom(10)) for _ in range(20)]
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            finish(filled, os.urandom(2000))
            if doomed:
                filled.delete_run(doomed.pop())
            if number == 3:
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        written.wait(60)
        back_up(chosen, folder)
        back_up(chosen, folder)
        n_then = len(filled.runs(limit=500))
    finally:
        stop.set()
        writer.join()
    filled.release_worker("w1", "g1")
    restore(elsewhere, folder)
    again = Store.open(elsewhere)
    known, found = content(filled), content(again)
    runs = again.runs(state="done", limit=500)
    assert 8 <= len(runs) <= n_then + 20
    for run in runs:
        names = [f"runs/{run.id}/arrays.npz", f"runs/{run.id}/delta/edit.safetensors"]
        assert again.result(run.id) == a_result()
        assert found[names[0]] == found[names[1]][::-1]
        assert all(found[name] == known.get(name, found[name]) for name in names)
    again.close()


def test_files_that_come_just_before_or_go_just_after_the_databases_moment_are_in_it(
    filled: Store,
    chosen: Settings,
    elsewhere: Settings,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes, came = filled.runs()[0].id, []
    dump = copying.dump

    def around(*given: Any) -> None:
        came.append(finish_again(filled))
        dump(*given)
        filled.delete_run(goes)

    monkeypatch.setattr("worker.store.backup.write.dump", around)
    back_up(chosen, folder)
    restore(elsewhere, folder)
    again = Store.open(elsewhere)
    assert {run.id for run in again.runs()} >= {goes, *came}
    for run in again.runs():
        assert len(again.artifacts.names(f"runs/{run.id}")) == 2
    again.close()


def test_only_what_is_new_is_copied_and_what_went_is_taken_out(
    filled: Store, chosen: Settings, folder: Path
) -> None:
    first = back_up(chosen, folder)
    assert first.n_new == len(first.manifest.named())
    run_id = finish_again(filled)
    second = back_up(chosen, folder)
    assert second.n_new == 3, "two artifacts and the database"
    assert {n for n in second.manifest.artifacts if n not in first.manifest.artifacts} == {
        f"runs/{run_id}/arrays.npz",
        f"runs/{run_id}/delta/edit.safetensors",
    }
    filled.delete_run(run_id)
    third = back_up(chosen, folder)
    assert third.manifest.artifacts == first.manifest.artifacts
    objects = {path.name for path in (folder / "objects").rglob("*") if path.is_file()}
    assert objects == {kept.hash for kept in third.manifest.named().values()}


def test_an_artifact_is_not_read_again_where_its_place_says_that_it_is_the_same(
    filled: Store, chosen: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(chosen, folder)
    monkeypatch.setattr("worker.store.artifacts.Artifacts.open", lambda *_: pytest.fail("read"))
    assert back_up(chosen, folder).n_new <= 1, "at most the database"


def test_damage_in_the_folder_is_found_by_the_next_backup_and_mended_by_the_one_after(
    filled: Store, chosen: Settings, elsewhere: Settings, folder: Path
) -> None:
    name, kept = next(iter(back_up(chosen, folder).manifest.artifacts.items()))
    Objects(folder).path(kept).write_bytes(b"x" * kept.size)
    with pytest.raises(Unavailable, match=f"artifact {name}.*start the backup again"):
        back_up(chosen, folder)
    back_up(chosen, folder)
    restore(elsewhere, folder)


def test_a_backup_that_is_killed_leaves_the_one_before_it(
    filled: Store, chosen: Settings, elsewhere: Settings, folder: Path
) -> None:
    before = back_up(chosen, folder).manifest
    for number in range(400):
        filled.artifacts.put_bytes(f"runs/new/{number}", os.urandom(100))
    n_before = len(list((folder / "objects").rglob("*")))
    environment = os.environ | {
        "LETHE_DATA": str(chosen.data),
        "LETHE_DATABASE_URL": chosen.database_url,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "worker.cli.main", "backup", str(folder)]
    killed = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    while len(list((folder / "objects").rglob("*"))) < n_before + 20:
        assert killed.poll() is None, "it has begun to copy before it ends"
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert read_manifest(folder) == before
    restore(elsewhere, folder)
    again = Store.open(elsewhere)
    assert len(again.runs(limit=500)) == 5
    again.close()
    whole = back_up(chosen, folder)
    assert 0 < whole.n_new < 400, "what the killed one copied is not copied again"
    assert len(whole.manifest.artifacts) == len(filled.artifacts.every())
    assert not list((folder / "objects").rglob(".*"))


def test_folders_that_are_no_place_for_a_backup_are_refused(
    filled: Store, chosen: Settings, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="lies in the data folder"):
        back_up(chosen, chosen.data / "backup")
    (folder / "thesis.txt").write_text("")
    with pytest.raises(UserError, match=r"holds what is no backup \(thesis.txt\)"):
        back_up(chosen, folder)
    with pytest.raises(UserError, match="holds no whole backup"):
        restore(chosen, folder)
    (folder / "thesis.txt").unlink()
    with alone(folder), pytest.raises(Conflict, match="Another `lethe backup`"):
        back_up(chosen, folder)


def test_without_a_database_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is nothing to back up: .* Set LETHE_DATA"):
        back_up(Settings(data=tmp_path / "none"), tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []

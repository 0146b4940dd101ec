import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from worker.contract.errors import UserError
from worker.contract.settings import Settings
from worker.store.store import Store


def test_what_is_stored_is_for_its_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        store = Store.open(Settings(data=data))
        store.artifacts.put_bytes("runs/r/x", b"x")
        store.artifacts.put("runs/r/y", store.artifacts.local("runs/r/x"))
        with store.database.write() as session:
            session.execute(sa.text("UPDATE runs SET id = id"))
        modes = {
            path.name: path.stat().st_mode & 0o777
            for path in (data, *data.glob("lethe.sqlite*"), *data.rglob("runs/r/*"))
        }
        store.close()
    finally:
        os.umask(before)
    files = ("lethe.sqlite", "lethe.sqlite-wal", "lethe.sqlite-shm", "x", "y")
    assert modes == {"data": 0o700} | dict.fromkeys(files, 0o600)


def test_a_database_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    Store.open(Settings(data=tmp_path / "data")).close()
    (tmp_path / "data").chmod(0o777)
    (tmp_path / "data/lethe.sqlite").chmod(0o666)
    Store.open(Settings(data=tmp_path / "data")).close()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data/lethe.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_data_folder_with_other_peoples_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o755)  # whatever the umask is
    (tmp_path / "home/letter.txt").write_text("")
    with pytest.raises(UserError, match=r"not Lethe's.*LETHE_DATA"):
        Store.open(Settings(data=tmp_path / "home"))
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]


def test_copies_of_remote_files_lie_in_the_data_folder_and_a_closed_store_holds_no_connection(
    tmp_path: Path,
) -> None:
    url = f"memory://{tmp_path.name}/lethe"
    store = Store.open(Settings(data=tmp_path / "data", artifacts_url=url))
    store.artifacts.put_bytes("runs/r/x", b"x")
    assert store.artifacts.local("runs/r/x") == tmp_path / "data/cache/artifacts/runs/r/x"
    other = Store.open(Settings(data=tmp_path / "data"))
    assert other.announced is not store.announced, "one store's readings are not another's"
    other.close()
    assert store.runs() == []
    opened = store.database.reader.pool
    assert opened.checkedin() > 0  # type: ignore[attr-defined]
    store.close()
    assert opened.checkedin() == 0  # type: ignore[attr-defined]

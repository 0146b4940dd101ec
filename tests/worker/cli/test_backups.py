"""`lethe backup` and `lethe restore` as a user calls them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli.main import app
from worker.contract.facts import Fact, FactSet
from worker.contract.settings import Settings, settings
from worker.store.store import Store

FACT = Fact(id="a", subject="Ada", prompt="{} plays", target="tennis")


def lethe(*arguments: object, data: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LETHE_DATA", str(data))
    settings.cache_clear()
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    settings.cache_clear()
    assert done.exit_code == 0
    return done.output


def test_a_server_is_moved_to_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(Settings(data=tmp_path / "a"))
    store.save_fact_set(FactSet(name="mine", facts=(FACT,)))
    store.artifacts.put_bytes("runs/1/x", b"x")
    store.close()
    (tmp_path / "a/models").mkdir()
    (tmp_path / "a/models/large").write_text("weights")
    folder = tmp_path / "backup"
    said = lethe("backup", folder, data=tmp_path / "a", monkeypatch=monkeypatch)
    assert "1 artifacts and 1 files" in said and "3 of these were copied now" in said
    said = lethe("backup", folder, "--no-models", data=tmp_path / "a", monkeypatch=monkeypatch)
    assert "1 artifacts and 0 files" in said
    assert "is whole" in lethe(
        "restore", folder, "--check", data=tmp_path / "b", monkeypatch=monkeypatch
    )
    assert not (tmp_path / "b").exists()
    lethe("restore", folder, data=tmp_path / "b", monkeypatch=monkeypatch)
    again = Store.open(Settings(data=tmp_path / "b"))
    assert again.fact_set("mine").facts == (FACT,)
    again.close()
    assert not (tmp_path / "b/models").exists()

"""`lethe clean` as an operator calls it."""

import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from worker.cli.main import app
from worker.contract.errors import UserError
from worker.contract.selection import FactsSpec
from worker.contract.settings import Settings, settings
from worker.contract.spec import LocalizeSpec
from worker.store.runs import insert_run
from worker.store.store import Store
from worker.store.tables import Run

SPEC = LocalizeSpec(facts=FactsSpec(set="tiny"), method="m")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two runs that ended 100 days ago; the first is archived."""
    monkeypatch.setenv("LETHE_DATA", str(tmp_path))
    settings.cache_clear()
    store = Store.open(Settings(data=tmp_path))
    ids = []
    for archived in (True, False):
        with store.database.write() as session:
            given = {"owner": "", "title": "", "tags": (), "parents": None}
            ids.append(insert_run(session, SPEC, **given, priority=1, browser=""))
            ended = {"state": "done", "archived": archived, "finished": time.time() - 100 * 86400}
            session.execute(sa.update(Run).where(Run.id == ids[-1]).values(ended))
    store.close()
    return ids


def lethe(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["clean", *arguments], catch_exceptions=False)


def left(tmp_path: Path) -> dict[str, bool]:
    store = Store.open(Settings(data=tmp_path))
    try:
        return {run.id: run.archived for run in store.runs(archived=None)}
    finally:
        store.close()


def test_it_says_what_it_would_do_and_does_it_only_when_told(
    runs: list[str], tmp_path: Path
) -> None:
    old, shown = runs
    said = lethe("--archive", "90d", "--delete", "90d", "--files").output
    assert f"1 runs to be archived: {shown}\n" in said
    assert f"1 archived runs to be deleted: {old}\n" in said
    assert "Nothing was changed; --do does it." in said
    assert left(tmp_path) == {old: True, shown: False}
    done = lethe("--archive", "90d", "--delete", "90d", "--do")
    assert done.exit_code == 0 and done.output.endswith("Done.\n")
    assert left(tmp_path) == {shown: True}
    store = Store.open(Settings(data=tmp_path))
    entry = store.audit()[0]
    store.close()
    assert (entry.what, entry.about) == ("cleaned", "1 archived, 1 deleted, 0 files")


def test_without_a_rule_or_with_an_odd_one_nothing_is_done(runs: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Say what: --archive 90d"):
        lethe("--do")
    with pytest.raises(UserError, match="--delete is '3 months'; expected a length of time"):
        lethe("--delete", "3 months", "--do")
    assert len(left(tmp_path)) == 2

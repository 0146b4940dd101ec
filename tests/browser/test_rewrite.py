"""Rewrite in a real browser, on a stored result: the dictionary leaves as a file and comes back."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.app.pages.texts.test_rewrite import result
from worker.contract.settings import Settings
from worker.contract.spec import parse_spec
from worker.store.runs import insert_run
from worker.store.store import Store

pytestmark = pytest.mark.browser


@pytest.fixture
def done(served: Any) -> str:
    """A finished run of the first two stages in the served application's store."""
    store = Store.open(Settings(data=served.data))
    store.claim_worker("test:cpu", "g", {}, "cpu", 1e9, lambda holder: True)
    spec = parse_spec({"kind": "explore", "view": "rewrite", "options": {}})
    with store.database.write() as session:
        run_id = insert_run(session, spec, owner="", title="R", tags=(), parents=None, priority=1)
    attempt = store.begin_attempt(run_id, "test:cpu", "g")
    assert attempt is not None
    store.finish(run_id, attempt.number, "done", "", result())
    store.close()
    return run_id


def test_the_typed_dictionary_is_exported_and_imported(page: Page, served: Any, done: str) -> None:
    page.goto(f"{served.base}/rewrite/{done}")
    first = page.locator("input[name=counterpart]").first
    first.fill("Mary")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as JSON").click()
    words = json.loads(Path(download.value.path()).read_text())
    assert words == {"Merrin": "Mary", "Zork": "the town"}
    expect(first).to_have_value("Mary")
    page.get_by_text("Import", exact=False).first.click()
    page.locator("input[type=file]").set_input_files(
        {"name": "d.json", "mimeType": "application/json", "buffer": b'{"Lamp": "tool"}'}
    )
    page.get_by_role("button", name="Import, in the place of the table").click()
    expect(first).to_have_value("tool")

"""Files that wait to be stored: listed, discarded, bounded, and nobody else's."""

import time

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import pending
from tests.app.conftest import AskedEngine
from tests.app.people import browser
from worker.engine.client import Engine

CSV = b"subject,prompt,target\nAnn,{} plays,golf\n"


def bring(client: TestClient, name: str = "a.csv", data: bytes = CSV) -> str:
    """Bring a file; the address of its preview."""
    sent = client.post("/facts/upload", files={"file": (name, data)}, follow_redirects=False)
    assert sent.status_code == 303, sent.text
    return sent.headers["location"]


def test_what_waits_is_listed_goes_on_and_is_discarded(client: TestClient, engine: Engine) -> None:
    assert "Not stored yet" not in client.get("/facts/upload").text
    first, second = bring(client, "first.csv"), bring(client, "second.csv")
    page = client.get("/facts/upload").text
    assert first in page and "first.csv" in page and second in page
    gone = client.post(f"{first}/discard", follow_redirects=False)
    assert (gone.status_code, gone.headers["location"]) == (303, "/facts/upload")
    assert client.get(first).status_code == client.post(f"{first}/discard").status_code == 404
    client.post(second, data={"name": "kept"})
    assert "Not stored yet" not in client.get("/facts/upload").text
    assert not engine.store.artifacts.names("uploads")


def test_more_files_or_bytes_than_may_wait_are_refused_and_nothing_is_kept(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MOST", 2)
    one, _ = bring(client), bring(client)
    refused = client.post("/facts/upload", files={"file": ("c.csv", CSV)})
    assert refused.status_code == 429
    assert "2 files that you brought wait to be stored, and 2 at once are the most." in refused.text
    script = client.post("/api/facts", files={"file": ("c.csv", CSV)}, data={"name": "x"})
    assert script.status_code == 429 and "wait to be stored" in script.text
    assert len(pending.waiting(engine.store)) == 2
    client.post(f"{one}/discard")
    bring(client)
    monkeypatch.setattr(pending, "MOST", 9)
    monkeypatch.setattr(pending, "MOST_BYTES", 3 * len(CSV) + 20)
    bring(client)
    refused = client.post("/facts/paste", data={"pasted": CSV.decode()})
    assert refused.status_code == 429
    assert "and that wait to be stored take " in refused.text and "are the most." in refused.text


def test_a_file_is_forgotten_after_a_day(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, now = bring(client), time.time()
    monkeypatch.setattr(time, "time", lambda: now + pending.KEPT + 2)
    new = bring(client)
    assert [one.id for one in pending.waiting(engine.store)] == [new.rpartition("/")[2]]
    assert client.get(old).status_code == 404


def test_nobody_reads_stores_or_discards_what_another_brought(
    shared: FastAPI, engine: AskedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "MOST", 1)
    with browser(shared, engine.store, "max") as max_, browser(shared, engine.store, "mia") as mia:
        address = bring(max_)
        assert max_.get(address).status_code == 200
        assert mia.get(address).status_code == 404
        assert mia.post(f"{address}/discard").status_code == 404
        assert mia.post(address, data={"name": "taken"}).status_code == 404
        assert "a.csv" not in mia.get("/facts/upload").text
        bring(mia)  # what waits of another's takes no room of hers
        assert "a.csv" in max_.get("/facts/upload").text

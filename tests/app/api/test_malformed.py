"""The same hundreds of malformed uploads through the doors of the web server."""

from typing import Any
from urllib.parse import quote

from starlette.testclient import TestClient

from tests.worker.core.facts.malformed import HTML, uploads


def test_no_malformed_upload_is_an_error_or_half_imported(
    script: TestClient, client: TestClient, engine: Any
) -> None:
    stored = ["sports"]
    for number, (filename, data) in enumerate(uploads()):
        name = f"set {number}"
        files = {"file": (filename, data)}
        answer = script.post("/api/facts", files=files, data={"name": name})
        if answer.status_code == 201:
            stored.append(name)
            assert answer.json()["set"]["n_facts"] == engine.store.facts_page(name)[1] > 0
        else:
            assert answer.status_code == 422, (filename, answer.text[:300])
            assert answer.json()["detail"][0]["message"].endswith("."), filename
    assert sorted(one.name for one in engine.store.fact_sets()) == sorted(stored)
    assert engine.store.artifacts.names("uploads") == []
    assert 20 < len(stored) < number
    for name in stored:
        shown = client.get(f"/facts?set={quote(name)}")
        assert (shown.status_code, "<script>alert" in shown.text) == (200, False), name
        engine.store.fact_set(name)


def test_html_in_every_field_is_shown_as_text(client: TestClient, engine: Any) -> None:
    hostile = [(name, data) for name, data in uploads() if name.startswith("every.")]
    assert len(hostile) == 12
    seen = 0
    for number, (filename, data) in enumerate(hostile):
        files = {"file": (f"{HTML[:40]}{filename}", data)}
        preview = client.post("/facts/upload", files=files)
        assert preview.status_code in (200, 422), preview.text[:300]
        assert "<script>alert" not in preview.text and "<img src=x" not in preview.text
        seen += "&lt;script&gt;alert(1)" in preview.text
        kept = client.post(preview.url.path, data={"name": f"{HTML[:60]} {number}"})
        assert kept.status_code in (200, 422)
        assert "<script>alert" not in kept.text and "<img src=x" not in kept.text
    assert seen >= 3

"""One spec, three doors: the page, the API and the command line give the same numbers."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SPEC = {
    "kind": "localize",
    "model": "demo",
    "facts": {"set": "athletes", "forget": "random:3"},
    "method": "causal_tracing",
    "options": {"samples": 2},
    "seed": 7,
}
DONE_WITHIN = 240.0


def finished(application: Any, run_id: str) -> Any:
    """Wait for a run's end and return its result."""
    deadline = time.monotonic() + DONE_WITHIN
    while (run := application.api(f"/api/runs/{run_id}"))["state"] not in ("done", "failed"):
        assert time.monotonic() < deadline, run
        time.sleep(0.5)
    assert run["state"] == "done", run
    return application.api(f"/api/runs/{run_id}/result")


def test_page_api_and_command_line_agree_on_a_spec_and_seed(
    page: Page, served: Any, tmp_path: Path
) -> None:
    run_id = served.api("/api/runs", SPEC)["id"]
    result = finished(served, run_id)
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    command = [sys.executable, "-m", "worker.cli.main", "run", str(tmp_path / "spec.json")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "LETHE_DEVICE": "cpu", "OMP_NUM_THREADS": "1"},
        timeout=DONE_WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    here = json.loads((tmp_path / "out" / "result.json").read_text())
    assert here["spec"] == result["spec"]
    assert here["provenance"]["weights_hash"] == result["provenance"]["weights_hash"]
    assert set(here["summary"]) == set(result["summary"])
    for name, value in result["summary"].items():
        close = isinstance(value, float)
        expected = pytest.approx(value, rel=1e-4, abs=1e-6) if close else value
        assert here["summary"][name] == expected, name

    components = np.load(tmp_path / "out" / "arrays.npz")["components"]
    labels = result["arrays"]["components"]["axes"][0]["labels"]
    scores = dict(zip(labels, components.tolist(), strict=True))
    page.goto(f"{served.base}/runs/{run_id}")
    figure = page.locator("#figure-mask")
    figure.scroll_into_view_if_needed()
    expect(figure.locator(".heatmaplayer").first).to_be_attached()
    with page.expect_download() as download:
        figure.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    shown = {
        component: float(value)
        for *_, component, value in (row.values() for row in rows)
        if component.endswith(".mlp")
    }
    assert len(shown) == 8
    for name, value in shown.items():
        assert value == pytest.approx(scores[name], rel=1e-4, abs=1e-6), name

"""A bug's line in the log names who asked, and for which run."""

import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.access.session import Identity, Session
from app.telling import told_of
from tests.app.conftest import AskedEngine
from worker.contract.logs import Json

RUN = "0123456789ab"


@pytest.mark.parametrize(
    ("path", "run"),
    [
        (f"/runs/{RUN}", RUN),
        (f"/api/runs/{RUN}/events", RUN),
        (f"/runs/{RUN}x", ""),
        ("/runs", ""),
        (f"/other/runs/{RUN}", ""),
    ],
)
def test_a_run_is_told_by_its_address(path: str, run: str) -> None:
    assert told_of({"path": path}) == {"run": run, "person": ""}


def test_a_person_is_told_by_the_session() -> None:
    session = Session(Identity("ann"), "n")
    assert told_of({"path": "/", "state": {"session": session}})["person"] == "ann"
    assert told_of({"path": "/", "state": {"session": None}})["person"] == ""


def test_what_is_logged_while_a_request_is_answered_is_about_it(
    script: TestClient,
    engine: AskedEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []

    def broken(*given: Any) -> None:
        record = logging.LogRecord("lethe", logging.WARNING, "", 0, "within", None, None)
        seen.append(Json().format(record))
        raise RuntimeError("a bug")

    monkeypatch.setattr(engine.store, "run", broken)
    assert script.get(f"/api/runs/{RUN}").status_code == 500
    assert f'"run": "{RUN}"' in seen[0], "on the thread that answers"
    (bug,) = [one for one in caplog.records if "incident" in one.message]
    assert vars(bug)["run"] == RUN

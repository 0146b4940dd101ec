"""What is logged, as text and as JSON lines."""

import json
import logging
import subprocess
import sys
import threading
from typing import Any

import pytest

from worker.contract.logs import Json, about

log = logging.getLogger("lethe.test")


@pytest.fixture
def lines() -> Any:
    """Everything that is logged in the test, as JSON."""
    said: list[dict[str, str]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(json.loads(Json().format(record)))

    handler = Kept()
    log.addHandler(handler)
    log.propagate = False
    yield said
    log.removeHandler(handler)
    log.propagate = True


def test_a_line_is_an_object_that_names_what_it_is_about(lines: list[dict[str, str]]) -> None:
    with about(run="12ab", person=""):
        log.error("The disk\nis %s: «voll»", "full")
        with about(person="ann", run="34cd"):
            log.error("inside")
        log.error("again", extra={"person": "bob"})
    log.error("outside")
    assert [(one.get("run"), one.get("person")) for one in lines] == [
        ("12ab", None), ("34cd", "ann"), ("12ab", "bob"), (None, None)
    ]  # fmt: skip
    assert lines[0]["message"] == "The disk\nis full: «voll»"
    assert (lines[0]["level"], lines[0]["logger"]) == ("error", "lethe.test")
    assert lines[0]["time"].endswith("+00:00")


def test_what_is_empty_is_no_field_and_letters_stay_as_they_are(
    lines: list[dict[str, str]],
) -> None:
    with about(run="12ab"), about(run="", person="ann"):
        log.error("é")
    assert (lines[0]["run"], lines[0]["person"]) == ("12ab", "ann")
    record = logging.makeLogRecord({"msg": "é", "levelname": "INFO"})
    assert "é" in Json().format(record)


def test_a_traceback_is_a_field(lines: list[dict[str, str]]) -> None:
    try:
        raise RuntimeError("why")
    except RuntimeError:
        log.exception("It went wrong")
    assert lines[0]["exception"].endswith("RuntimeError: why")


def test_another_thread_is_about_nothing(lines: list[dict[str, str]]) -> None:
    with about(run="12ab"):
        thread = threading.Thread(target=log.error, args=("elsewhere",))
        thread.start()
        thread.join()
    assert "run" not in lines[0]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_process_logs_in_the_form_that_was_chosen(form: str) -> None:
    script = "import logging; from worker.contract.logs import set_up\n"
    script += f"set_up({form!r}, 20, '%(message)s!')\n"
    script += "logging.getLogger('a').info('said'); logging.getLogger('a').debug('not')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    (line,) = done.stderr.splitlines()
    assert line == "said!" if form == "text" else json.loads(line)["message"] == "said"

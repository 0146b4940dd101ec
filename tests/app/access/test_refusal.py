import json

import pytest
from starlette.requests import Request

from app.access.refusal import refuse, too_many


def request(path: str) -> Request:
    return Request({"type": "http", "path": path, "headers": [], "query_string": b""})


@pytest.mark.parametrize("path", ["/api/runs", "/healthz", "/readyz"])
def test_a_script_is_refused_in_the_apis_form(path: str) -> None:
    answer = refuse(request(path), 429, "Wait.", 1.2)
    assert json.loads(answer.body) == {"detail": [{"field": "", "message": "Wait."}]}
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


def test_a_reader_is_refused_in_a_sentence() -> None:
    answer = refuse(request("/apis"), 421, "Not here.")
    assert (answer.body, "retry-after" in answer.headers) == (b"Not here.\n", False)


@pytest.mark.parametrize(("wait", "words"), [(0.2, "1 second and"), (1.5, "2 seconds and")])
def test_how_long_to_wait_is_said_in_whole_seconds(wait: float, words: str) -> None:
    assert words in too_many(wait)

"""The list of runs, a page at a time."""

import pytest
from starlette.testclient import TestClient

from app.pages.runs import runs
from tests.app.conftest import AskedEngine
from worker.contract.spec import parse_spec


@pytest.fixture
def listed(client: TestClient, engine: AskedEngine, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Seven runs, two on a page; more than four are not counted."""
    monkeypatch.setattr(runs, "PAGE", 2)
    monkeypatch.setattr(runs, "COUNTED", 4)
    for number in range(7):
        spec = parse_spec(
            {
                "kind": "evaluate",
                "evaluations": ["probes"],
                "facts": {"set": "sports", "forget": "first:4"},
                "seed": number,
            }
        )
        engine.submit(spec, title=f"Number {number}" + (" rare" if number < 3 else ""))
    return client


@pytest.mark.parametrize(
    ("address", "said", "first", "goes_on"),
    [
        ("/runs", "1–2 of more than 4", "Number 6", True),
        ("/runs?offset=2", "3–4 of more than 4", "Number 4", True),
        ("/runs?offset=4", "5–6 of more than 6", "Number 2", True),
        ("/runs?offset=6", "7–7 of 7", "Number 0", False),
        ("/runs?search=rare", "1–2 of 3", "Number 2", True),
        ("/runs?search=rare&offset=2", "3–3 of 3", "Number 0", False),
        ("/runs?search=nowhere", "No run matches", "", False),
    ],
)
def test_a_list_says_where_it_is_and_goes_on_where_there_are_more(
    listed: TestClient, address: str, said: str, first: str, goes_on: bool
) -> None:
    page = listed.get(address).text
    assert said in page
    shown = [f"Number {number}" for number in range(6, -1, -1) if f"Number {number}" in page]
    assert shown[:1] == ([first] if first else []) and len(shown) <= 2
    assert (">Next</a>" in page) == goes_on

"""The list of runs, a page at a time."""

import html
import re

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


def go(page: str, word: str) -> str:
    """The address under one of the list's words."""
    found = re.search(rf'href="([^"]*)"[^>]*>{word}</a>', page)
    return html.unescape(found[1]) if found else ""


def shown(page: str) -> list[int]:
    return [number for number in range(6, -1, -1) if f"Number {number}" in page]


@pytest.mark.parametrize(
    ("address", "said", "numbers"),
    [
        (
            "/runs",
            ["1–2 of more than 4", "3–4 of more than 4", "5–6 of more than 6", "7–7 of 7"],
            [[6, 5], [4, 3], [2, 1], [0]],
        ),
        ("/runs?search=rare", ["1–2 of 3", "3–3 of 3"], [[2, 1], [0]]),
        ("/runs?search=nowhere", ["No run matches"], [[]]),
    ],
)
def test_a_list_says_where_it_is_and_goes_on_and_back(
    listed: TestClient, address: str, said: list[str], numbers: list[list[int]]
) -> None:
    pages = [listed.get(address).text]
    while onward := go(pages[-1], "Next"):
        pages.append(listed.get(onward).text)
    assert [shown(page) for page in pages] == numbers
    for page, words in zip(pages, said, strict=True):
        assert words in page
    back = [pages[-1]]
    while before := go(back[-1], "Previous"):
        back.append(listed.get(before).text)
    assert [shown(page) for page in back] == numbers[::-1]
    for page, words in zip(back, said[::-1], strict=True):
        assert words in page


def test_a_page_is_kept_where_it_is_asked_for_again(listed: TestClient) -> None:
    page = listed.get(go(listed.get("/runs?kind=evaluate").text, "Next")).text
    again = re.search(r'hx-get="([^"]*)" hx-trigger="every 4s"', page)
    back = re.search(r'name="back" value="([^"]*)"', page)
    assert again and back and html.unescape(again[1]) == f"/runs?{html.unescape(back[1])}"
    assert shown(listed.get(html.unescape(again[1])).text) == [4, 3]


def test_a_page_after_which_nothing_is_left_is_the_first(
    listed: TestClient, engine: AskedEngine
) -> None:
    page = listed.get("/runs?after=0.0-x&at=40").text
    assert shown(page) == [6, 5] and "1–2 of" in page
    assert listed.get("/runs?after=nothing").status_code == 422

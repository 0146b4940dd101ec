"""The pages' Content-Security-Policy: no inline script or style, and no page asks for any."""

from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page

from app.access.guard import POLICY
from tests.browser.pages import addresses, rest, settle

pytestmark = pytest.mark.browser
REPORTS = """() => {
  window.refused = [];
  document.addEventListener("securitypolicyviolation", (found) =>
    window.refused.push(
      [found.violatedDirective, found.blockedURI, found.sourceFile, found.lineNumber].join(" ")));
}"""
MORE = (
    "/gallery/runs/lookup",
    "/gallery/runs/potter",
    "/gallery/runs/verdict",
    "/lessons/where/2",
    "/explore?" + urlencode({"prompt": "Tiger Woods plays the sport of", "subject": "Tiger Woods"}),
)
"""Pages with bars, marks and cells of which the list of all pages has none."""
HEIGHT = "document.documentElement.scrollHeight"
UNDRAWN = """() => [...document.querySelectorAll("[data-figure]")]
  .filter((one) => one.checkVisibility() && one.dataset.figureSeen)
  .filter((one) => !one.querySelector(".main-svg") && one.querySelector("[data-note]")?.hidden)
  .map((one) => one.dataset.figure)"""


@pytest.fixture
def reporting(page: Page) -> Page:
    """A tab in which every document notes in `window.refused` what its policy refuses."""
    page.context.add_init_script(f"({REPORTS})()")
    return page


def test_the_policy_takes_neither_inline_nor_evaluated() -> None:
    for word in ("unsafe-inline", "unsafe-eval", "unsafe-hashes", "*"):
        assert word not in POLICY
    assert POLICY.startswith("default-src 'self'; ")


def test_what_the_policy_refuses_is_noted(reporting: Page, served: Any) -> None:
    reporting.watch.allowed = ["Content Security Policy"]  # type: ignore[attr-defined]
    settle(reporting, f"{served.base}/glossary")
    assert reporting.evaluate("window.refused") == []
    reporting.evaluate("document.querySelector('main').innerHTML = '<p style=\"color: red\">x</p>'")
    reporting.wait_for_function("window.refused.length === 1")
    assert "style-src" in reporting.evaluate("window.refused")[0]


# Some forty pages, each with all its figures drawn.
@pytest.mark.slow
def test_no_page_asks_for_what_the_policy_refuses(reporting: Page, served: Any) -> None:
    found: dict[str, list[str]] = {}
    drawn = shares = 0
    for path in dict.fromkeys((*addresses(reporting, served.base), *MORE)):
        settle(reporting, served.base + path)
        reporting.set_viewport_size({"width": 1280, "height": max(900, reporting.evaluate(HEIGHT))})
        rest(reporting)
        drawn += reporting.locator(".main-svg").count()
        shares += reporting.locator("[data-share][style*='--share']").count()
        unset = reporting.locator("[data-share]:not([style*='--share'])").count()
        assert not unset, f"{path}: {unset} shares of a bar or cell are not drawn"
        if problems := reporting.evaluate("window.refused") + reporting.evaluate(UNDRAWN):
            found[path] = problems
    assert not found, "\n".join(f"{path}: {one}" for path, all in found.items() for one in all)
    assert drawn > 10 and shares > 100

"""Every page, looked at by axe-core: WCAG 2.2 AA in both themes."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.pages import addresses, settle, violations

pytestmark = pytest.mark.browser


# Some forty pages, each looked at twice: minutes, however small each look is.
@pytest.mark.slow
def test_no_page_keeps_a_reader_out_in_either_theme(page: Page, served: Any) -> None:
    found: dict[str, list[str]] = {}
    for path in dict.fromkeys(addresses(page, served.base)):
        settle(page, served.base + path)
        if problems := violations(page):
            found[path] = problems
    assert not found, "\n".join(f"{path}: {one}" for path, all in found.items() for one in all)

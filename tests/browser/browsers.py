"""Which browser the browser tests drive: the system's Chromium, else Playwright's own."""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser() -> str:
    """The path of a browser that can be driven; "" where there is none."""
    for name in SYSTEM_BROWSERS:
        if (found := shutil.which(name)) is not None:
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else ""

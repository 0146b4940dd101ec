"""Every page once: for axe-core, and as pictures.

`python -m tests.browser.pages FOLDER ADDRESS` takes a picture of every page of a running server, at
1280 and 390 pixels, light and dark; ADDRESS is the one with the token that `lethe serve` prints.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.browsers import find_browser

AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
BESIDES = ["landmark-unique", "heading-order", "region"]
"""Good practice that WCAG does not ask for, and every page holds to all the same."""
CHECK = """async ([tags, rules]) => {
  const asked = [{ type: "tag", values: tags }, { type: "rule", values: rules }];
  const found = [];
  for (const runOnly of asked.filter((one) => one.values.length)) {
    found.push(...(await axe.run(document, { resultTypes: ["violations"], runOnly })).violations);
  }
  return found.map((one) => `${one.id}: ${one.help}: `
    + one.nodes.slice(0, 3).map((node) => node.target.join(" ")).join(" | "));
}"""
STILL = """async () => {
  for (let frames = 0, quiet = 0; quiet < 3 && frames < 120; frames++) {
    await new Promise(requestAnimationFrame);
    quiet = document.getAnimations().length ? 0 : quiet + 1;
  }
}"""
"""Colours that are inherited change one frame after another; axe-core looks when none does."""
RESTS = """() => {
  const asks = "[aria-busy=true], .htmx-request:not([hx-sse\\\\:connect])";
  const isAwaited = (figure) => {
    const { top, bottom, width } = figure.getBoundingClientRect();
    const inView = width > 0 && top < innerHeight && bottom > 0;
    return inView && figure.checkVisibility() && !figure.dataset.figureSeen;
  };
  const waits = document.querySelector(asks)
    || [...document.querySelectorAll("[data-figure]")].some(isAwaited);
  window.restedFrames = waits ? 0 : (window.restedFrames ?? 0) + 1;
  return window.restedFrames > 5;
}"""
"""Some frames without a question: what an answer brings asks only when it is in view."""
UNNAMED = (
    "/facts/upload",
    "/facts?set=athletes",
    "/facts/tokens?set=athletes",
    "/masks/new",
    "/glossary",
    "/gallery/runs/trace",
    "/gallery/runs/edit",
    "/gallery/runs/hidden",
    "/gallery/runs/relearning",
)
"""Pages that no menu names, beside what the menu and the lists lead to."""
FIRST_OF = (
    ("/dossier", "main a[href^='/runs/']"),
    ("/gallery", "#studies-head + .grid a"),
    ("/lessons", "main a[href^='/lessons/']"),
)
"""Lists whose first entry is a page of another form."""


def addresses(page: Page, base: str) -> Iterator[str]:
    """Every page of the menu, what the lists lead to, and what neither names."""
    page.goto(base)
    named = page.locator("#menu a").evaluate_all("links => links.map((a) => a.pathname)")
    yield from (*named, *UNNAMED)
    for path, link in FIRST_OF:
        page.goto(base + path)
        for one in page.locator(link).all()[:1]:
            yield str(one.get_attribute("href"))


def violations(page: Page) -> list[str]:
    """What axe-core finds on the page in the theme it has, and of contrast in the other."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[Any] = page.evaluate(CHECK, [RULES, BESIDES])
    dark = page.evaluate("document.documentElement.dataset.theme === 'dark'")
    page.emulate_media(color_scheme="light" if dark else "dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "light" if dark else "dark")
    page.evaluate(STILL)
    other: list[Any] = page.evaluate(CHECK, [[], ["color-contrast"]])
    page.emulate_media(color_scheme="dark" if dark else "light")
    return [str(one) for one in found] + [f"the other theme: {one}" for one in other]


def settle(page: Page, address: str) -> None:
    """Open a page and wait until nothing is asked for any more, but for what never ends."""
    page.goto(address)
    rest(page)


def rest(page: Page) -> None:
    """Wait until nothing is asked for and no figure in view is still to be drawn."""
    page.evaluate("window.restedFrames = 0")
    page.wait_for_function(RESTS, polling="raf")


def whole(page: Page, picture: Path) -> None:
    """Take a page's picture in a window as high as it is: a figure is drawn when it is in view."""
    size = page.viewport_size
    assert size is not None
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], height)})
    rest(page)
    page.screenshot(path=picture, full_page=True)
    page.set_viewport_size(size)


def main(folder: Path, address: str) -> None:
    """Take the pictures."""
    base = "{0.scheme}://{0.netloc}".format(urlsplit(address))
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_browser(), args=["--headless", "--no-sandbox"]
        )
        for width in (1280, 390):
            for theme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": 800},
                    color_scheme="dark" if theme == "dark" else "light",
                )
                page = context.new_page()
                page.goto(address)
                for path in list(dict.fromkeys(addresses(page, base))):
                    settle(page, base + path)
                    name = path.strip("/").replace("/", "-").replace("?", "-") or "home"
                    picture = folder / f"{name}-{width}-{theme}.png"
                    whole(page, picture)
                context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

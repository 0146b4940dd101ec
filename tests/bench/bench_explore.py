"""Time Explore from the click to the painted view, in a real browser, beside a training run.

Prints a markdown table for each model: p50 and p95 over clicks that each ask something new, of
every view alone; the map's first row apart; and views that were answered before. The aims are the
page's: on the bundled model 300 ms for a view and 1 s for a map of 30 tokens; on SmolLM2 500 ms for
a view and 12 s for a map; 50 ms for what is kept. `--model` names a folder to measure besides the
bundled model; `--idle` leaves the lane of runs empty.

    python tests/bench/bench_explore.py
    python tests/bench/bench_explore.py --clicks 10 --model ~/.cache/lethe/models/smollm2
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parents[2]))

from playwright.sync_api import Page, sync_playwright

from tests.browser.browsers import find_browser
from tests.browser.conftest import ARGUMENTS, Served, serve

SHOT = "Fact: Tiger Woods plays the sport of golf\nFact: "
GUIDE = "This is a short guide to the famous sights of Europe, written for children. The "
PROMPTS = {
    "demo": (f"{SHOT}Bob Cousy plays the sport of", f"{SHOT}Joey Bosa plays the sport of",
             "Bob Cousy"),
    "other": (f"{GUIDE}Eiffel Tower is located in the city of",
              f"{GUIDE}Brandenburg Gate is located in the city of", "Eiffel Tower"),
}  # fmt: skip
WAIT = 300_000
"""Milliseconds for the first view of a model, which waits until it is loaded."""
MEASURE = """
async ([name, change, early]) => {
  const view = document.getElementById(name);
  const button = document.createElement("button");
  button.dataset.set = change;
  document.body.append(button);
  const begun = performance.now();
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  await new Promise((done) => {
    const look = () => {
      const first = early && view.querySelector("[data-grid] td:not(:empty)");
      if (first || !view.hasAttribute("aria-busy")) { watch.disconnect(); done(); }
    };
    const watch = new MutationObserver(look);
    if (early) view.querySelector("[data-place]").replaceChildren();
    button.click();
    watch.observe(view, { attributes: true, childList: true, subtree: true });
  });
  await painted();
  button.remove();
  const failed = view.querySelector('[role="alert"]');
  return [performance.now() - begun, failed ? failed.innerText : ""];
}
"""


def changes(view: str, n_layers: int, n_heads: int, n_tokens: int, number: int) -> str:
    """What a click changes in the address; another answer each time."""
    target = f"target=&target_ids={300 + number}"
    layer = number % n_layers
    return {
        "patch": f"cells=resid.{layer}.{n_tokens - 1 - number // n_layers}",
        "head": f"head={layer}.{number // n_layers % n_heads}&{target}",
        "neurons": f"at={layer}.{n_tokens - 1 - number // n_layers}",
        "cell": f"at={layer}.{n_tokens - 1 - number // n_layers}",
    }.get(view, target)


def alone(page: Page, view: str) -> None:
    """Leave one view on the page, painted."""
    page.evaluate(
        "(name) => document.querySelectorAll('[data-view]').forEach((one) => "
        "one.id === name || one.remove())",
        view,
    )
    place = page.locator(f"#{view}")
    place.scroll_into_view_if_needed()
    place.locator(".waiting").wait_for(state="detached", timeout=WAIT)


def clicks(page: Page, view: str, asked: list[str], early: bool = False) -> list[float]:
    """Milliseconds from each click until its answer is painted."""
    found = []
    for change in asked:
        took, failed = page.evaluate(MEASURE, [view, change, early])
        if failed:
            raise SystemExit(f"{view}, {change}: {failed}")
        if early:
            page.wait_for_selector(f"#{view}:not([aria-busy])", timeout=WAIT)
        found.append(took)
    return found


def row(name: str, took: list[float]) -> str:
    ordered = sorted(took)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"| {name} | {len(took)} | {statistics.median(took):.0f} ms | {p95:.0f} ms |"


def measure(page: Page, served: Served, model: str, n: int, n_maps: int) -> None:
    """Print one model's table."""
    info = next(one for one in served.api("/api/models") if one["id"] == model)
    prompt, corrupted, subject = PROMPTS.get(model, PROMPTS["other"])
    asked = {"model": model, "prompt": prompt, "corrupted": corrupted, "subject": subject}
    address = f"{served.base}/explore?{urlencode(asked)}"
    page.goto(address)
    alone(page, "predictions")
    n_tokens = page.locator("[aria-label='Clean prompt'] .tokens .token").count()
    sizes = info["n_layers"], info["n_heads"], n_tokens
    print(f"\n### {info['title']}, {n_tokens} tokens\n")
    print("| View | Clicks | p50 | p95 |\n| --- | --- | --- | --- |")
    for view in ("predictions", "lens", "decomposition", "heads", "head", "neurons", "patch"):
        page.goto(address)
        alone(page, view)
        new = [changes(view, *sizes, number) for number in range(n)]
        print(row(view, clicks(page, view, new)), flush=True)
        if view in ("predictions", "lens"):
            page.wait_for_timeout(50)
            again = [one for one in new for _ in (0, 1)][: 2 * n : 2]
            print(row(f"{view}, answered before", clicks(page, view, again)), flush=True)
    for name, early, first in (("map, first rows", True, 0), ("map, whole", False, n_maps)):
        page.goto(address)
        alone(page, "patching")
        new = [changes("patching", *sizes, number) for number in range(first, first + n_maps)]
        print(row(name, clicks(page, "patching", new, early)), flush=True)


@contextmanager
def training(served: Served, is_on: bool) -> Iterator[None]:
    """A training run that occupies the lane of runs meanwhile."""
    if not is_on:
        yield
        return
    body: dict[str, Any] = {
        "kind": "unlearn", "model": "demo", "method": "localized_finetuning",
        "facts": {"set": "athletes", "forget": "first:64"},
        "mask": {"control": {"kind": "all"}}, "options": {"steps": 100_000},
    }  # fmt: skip
    run = served.api("/api/runs", body)["id"]
    try:
        yield
    finally:
        served.api(f"/api/runs/{run}/cancel", {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clicks", type=int, default=50)
    parser.add_argument("--maps", type=int, default=10)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--idle", action="store_true")
    arguments = parser.parse_args()
    browser = find_browser()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model
        roots = {"LETHE_MODEL_ROOTS": str(model.resolve().parent)} if model else {}
        served = serve(Path(folder), **roots)
        try:
            with sync_playwright() as playwright, training(served, not arguments.idle):
                chrome = playwright.chromium.launch(executable_path=browser, args=ARGUMENTS)
                page = chrome.new_page(viewport={"width": 1280, "height": 900})
                page.set_default_timeout(WAIT)
                page.goto(served.address)
                for name in ("demo", *([model.name] if model else [])):
                    measure(page, served, name, arguments.clicks, arguments.maps)
                chrome.close()
        finally:
            served.stop()


if __name__ == "__main__":
    main()

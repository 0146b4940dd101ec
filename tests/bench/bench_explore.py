"""Time Explore from the click to the painted view, in a real browser, beside a training run.

Prints a markdown table for each model: p50 and p95 over clicks that each ask something new, of
every view alone, until its first paint (a few tokens of the lens, a row of the map, a circuit's
progress, what a patched model says before how it goes on) and until it is whole; and views that
were answered before. `CPU` is the processor time of the process that computes the views, per click:
it changes little where other programs keep the machine busy. The aims are the page's: on the
bundled model 300 ms for a view and 1 s for a map of 30 tokens; on SmolLM2 500 ms for a view, 1 s
for a map's first row, 12 s for all of it, 15 s for a circuit; 50 ms for what is kept. `--model`
names a folder to measure besides the bundled model; `--idle` leaves the lane of runs empty.

    python tests/bench/bench_explore.py
    python tests/bench/bench_explore.py --clicks 10 --model ~/.cache/lethe/models/smollm2
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
async ([name, change]) => {
  const view = document.getElementById(name);
  const place = view.querySelector("[data-place]");
  const button = document.createElement("button");
  button.dataset.set = change;
  document.body.append(button);
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const begun = performance.now();
  let first = null;
  await new Promise((done) => {
    const watch = new MutationObserver((seen) => {
      const filled = seen.some((one) => one.target === place && one.type === "childList");
      if (filled && first === null && place.querySelector("td, [role=progressbar]"))
        first = painted().then(() => performance.now() - begun);
      if (!view.hasAttribute("aria-busy")) { watch.disconnect(); done(); }
    });
    button.click();
    watch.observe(view, { attributes: true, childList: true, subtree: true });
  });
  await painted();
  const whole = performance.now() - begun;
  button.remove();
  const failed = view.querySelector('[role="alert"]');
  return [first === null ? whole : await first, whole, failed ? failed.innerText : ""];
}
"""
VIEWS = (
    "predictions", "continuation", "lens", "decomposition", "heads", "head", "neurons", "cell",
    "patch", "patching", "circuit",
)  # fmt: skip
LONG = {"patching": "map", "circuit": "circuit"}
"""Views that take long, and what they show."""
N_RUNS = 4
"""Training runs one after another, more than the bench waits for."""


@dataclass(frozen=True)
class Clicked:
    """One click: milliseconds to the first paint and the last, and of the views' process."""

    first: float
    whole: float
    processor: float


class Clock:
    """The processor time of the process that computes views: that which a question makes busy."""

    def __init__(self, served: Served) -> None:
        assert served.worker is not None
        before = {one: self._of(one) for one in _children(served.worker.pid)}
        for number in range(5):
            options = {"prompt": f"{number} and", "n_new": 100}
            served.api("/api/explore/predictions", {"model": "demo", "options": options})
        self._id = max(before, key=lambda one: self._of(one) - before[one])

    def __call__(self) -> float:
        """Milliseconds since it began."""
        return self._of(self._id)

    def _of(self, process: int) -> float:
        return 1000 * sum(map(int, _stat(process)[11:13])) / os.sysconf("SC_CLK_TCK")


def _stat(process: int) -> list[str]:
    """The fields of /proc's stat after the name: state, parent, …"""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _children(process: int) -> list[int]:
    """Processes whose parent it is; those that end meanwhile are passed over."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(_stat(int(place.name))[1]) == process:
                found.append(int(place.name))
    return found


def changes(view: str, n_layers: int, n_heads: int, n_tokens: int, number: int) -> str:
    """What a click changes in the address; another answer each time."""
    target = f"target=&target_ids={300 + number}"
    layer, token = number % n_layers, n_tokens - 1 - number // n_layers
    return {
        "patch": f"cells=resid.{layer}.{token}",
        "head": f"head={layer}.{number // n_layers % n_heads}&{target}",
        "neurons": f"at={layer}.{token}",
        "cell": f"at={layer}.{token}",
    }.get(view, target)


def alone(page: Page, address: str, view: str) -> None:
    """Open the page with one view on it, painted."""
    page.goto(address)
    page.evaluate(
        "(name) => document.querySelectorAll('[data-view]').forEach((one) => "
        "one.id === name || one.remove())",
        view,
    )
    place = page.locator(f"#{view}")
    place.scroll_into_view_if_needed()
    place.locator(".waiting").wait_for(state="detached", timeout=WAIT)
    page.wait_for_selector(f"#{view}:not([aria-busy])", timeout=WAIT)


def clicks(page: Page, clock: Clock, view: str, asked: list[str]) -> list[Clicked]:
    """One answer after another, each waited for."""
    found = []
    for change in asked:
        begun = clock()
        first, whole, failed = page.evaluate(MEASURE, [view, change])
        if failed:
            raise SystemExit(f"{view}, {change}: {failed}")
        found.append(Clicked(first, whole, clock() - begun))
    return found


def row(name: str, took: list[Clicked]) -> str:
    """A line of the table."""
    parts = [name, str(len(took))]
    for times in ([one.first for one in took], [one.whole for one in took]):
        ordered = sorted(times)
        p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        parts += [f"{statistics.median(ordered):.0f}", f"{p95:.0f}"]
    processor = statistics.mean(one.processor for one in took)
    return f"| {' | '.join([*parts, f'{processor:.0f}'])} |"


def measure(page: Page, served: Served, clock: Clock, model: str, n: int, n_long: int) -> None:
    """Print one model's table."""
    info = next(one for one in served.api("/api/models") if one["id"] == model)
    prompt, corrupted, subject = PROMPTS.get(model, PROMPTS["other"])
    asked = {"model": model, "prompt": prompt, "corrupted": corrupted, "subject": subject}
    address = f"{served.base}/explore?{urlencode(asked)}"
    alone(page, address, "predictions")
    n_tokens = page.locator("[aria-label='Clean prompt'] .tokens .token").count()
    sizes = info["n_layers"], info["n_heads"], n_tokens
    print(f"\n### {info['title']}, {n_tokens} tokens, milliseconds\n")
    print("| View | Clicks | first p50 | first p95 | whole p50 | whole p95 | CPU |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for view in VIEWS:
        alone(page, address, view)
        new = [changes(view, *sizes, number) for number in range(n_long if view in LONG else n)]
        print(row(LONG.get(view, view), clicks(page, clock, view, new)), flush=True)
        if view in ("predictions", "lens", "patch", "patching"):
            kept = clicks(page, clock, view, new)
            print(row(f"{LONG.get(view, view)}, kept", kept), flush=True)


@contextmanager
def training(served: Served, is_on: bool) -> Iterator[None]:
    """Training runs that occupy the lane of runs meanwhile."""
    if not is_on:
        yield
        return
    body: dict[str, Any] = {
        "kind": "unlearn", "model": "demo", "method": "localized_finetuning",
        "facts": {"set": "athletes", "forget": "first:64"},
        "mask": {"control": {"kind": "all"}}, "options": {"steps": 10_000},
    }  # fmt: skip
    runs = [served.api("/api/runs", body)["id"] for _ in range(N_RUNS)]
    try:
        yield
    finally:
        for run in reversed(runs):
            served.api(f"/api/runs/{run}/cancel", {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clicks", type=int, default=50)
    parser.add_argument("--long", type=int, default=50, help="clicks of maps and circuits")
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--idle", action="store_true")
    arguments = parser.parse_args()
    browser = find_browser()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model
        roots = {"LETHE_MODEL_ROOTS": str(model.resolve().parent)} if model else {}
        served = serve(Path(folder), **roots)
        try:
            clock = Clock(served)
            with sync_playwright() as playwright, training(served, not arguments.idle):
                chrome = playwright.chromium.launch(executable_path=browser, args=ARGUMENTS)
                page = chrome.new_page(viewport={"width": 1280, "height": 900})
                page.set_default_timeout(WAIT)
                page.goto(served.address)
                for name in ("demo", *([model.name] if model else [])):
                    measure(page, served, clock, name, arguments.clicks, arguments.long)
                chrome.close()
        finally:
            served.stop()


if __name__ == "__main__":
    main()

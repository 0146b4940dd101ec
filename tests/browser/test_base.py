"""The frame that every page has, in a real browser on the real application."""

import re
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

PAGES = ("/", "/facts", "/facts/upload", "/runs", "/workers")
SPEC: dict[str, Any] = {
    "kind": "localize",
    "model": "demo",
    "facts": {"set": "athletes", "forget": "first:4"},
    "method": "causal_tracing",
    "options": {},
    "seed": 0,
}

# Contrast by WCAG: every text against the nearest painted background.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const f = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgba(getComputedStyle(e).backgroundColor);
      if (colour[3] > 250) return colour;
    }
    return [255, 255, 255, 255];
  };
  const bad = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('.hidden, svg, .skip')) continue;
    const style = getComputedStyle(element);
    const [one, two] = [light(rgba(style.color)), light(ground(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      const words = element.textContent.trim().slice(0, 30);
      bad.push(`${element.tagName} "${words}" ${ratio.toFixed(2)}`);
    }
  }
  return bad;
}"""


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_fit_and_can_be_read_in_both_themes(
    open_tab: Callable[..., Page], served: Any, width: int, dark: bool
) -> None:
    tab = open_tab(served, width=width, dark=dark)
    for path in PAGES:
        tab.goto(served.base + path)
        expect(tab.locator("html")).to_have_attribute("data-theme", "dark" if dark else "light")
        wide = tab.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path} is {wide} px wide on {width}"
        assert tab.evaluate(CONTRAST) == [], path


def test_the_theme_is_chosen_and_kept(page: Page, served: Any) -> None:
    page.get_by_label("Dark").check()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(served.base + "/runs")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_label("System").check()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_the_keyboard_reaches_the_content_first(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_the_menu_opens_on_a_small_screen(open_tab: Callable[..., Page], served: Any) -> None:
    tab = open_tab(served, width=390)
    menu = tab.get_by_role("button", name="Menu")
    expect(tab.get_by_role("navigation", name="Pages")).to_be_hidden()
    menu.press("Enter")
    expect(menu).to_have_attribute("aria-expanded", "true")
    tab.get_by_role("link", name="Facts", exact=True).click()
    expect(tab).to_have_url(re.compile(r"/facts$"))


def test_times_are_in_the_readers_zone(page: Page, served: Any) -> None:
    page.goto(served.base + "/workers")
    time = page.locator("article time").first
    expect(time).to_have_attribute("data-local", "")
    assert "UTC" not in time.inner_text()


def test_a_search_keeps_focus_and_stands_in_the_address(page: Page, served: Any) -> None:
    page.goto(served.base + "/facts?set=athletes")
    search = page.get_by_label("Search")
    search.press_sequentially("cousy", delay=20)
    expect(page.get_by_text("1–1 of 1")).to_be_visible()
    expect(search).to_be_focused()
    expect(page).to_have_url(re.compile("search=cousy"))
    link = page.url
    page.go_back()
    expect(page.get_by_text(re.compile("1–30 of"))).to_be_visible()
    page.goto(link)
    expect(page.get_by_label("Search")).to_have_value("cousy")
    expect(page.get_by_text("1–1 of 1")).to_be_visible()


def test_a_split_is_made_by_ticking_rows(page: Page, served: Any) -> None:
    page.goto(served.base + "/facts?set=athletes")
    for box in page.get_by_role("checkbox", name=re.compile("^Tick (?!all)")).all()[:3]:
        box.check()
    expect(page.locator("[data-selected-count]")).to_have_text("3 selected")
    name = page.get_by_label("Name of a split of the ticked rows")
    name.fill("by hand")
    name.press("Control+Enter")
    expect(page.get_by_text("forget 3, keep")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("forget 3, keep")).to_be_visible()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Go ahead").click()
    expect(page.get_by_text("forget 3, keep")).to_be_hidden()


def test_a_file_is_brought_and_corrected(page: Page, served: Any, tmp_path: Any) -> None:
    file = tmp_path / "players.csv"
    file.write_text("who,sport\nBob Cousy,basketball\nReggie White,football\n")
    page.goto(served.base + "/facts/upload")
    page.get_by_label("File", exact=True).set_input_files(file)
    page.watch.allowed.append("422")  # type: ignore[attr-defined]
    page.get_by_role("button", name="Read the file").click()
    expect(page.get_by_role("alert")).to_contain_text("No column gives the subject")
    page.get_by_label("Subject").fill("who")
    page.get_by_label("Target", exact=True).fill("sport")
    page.get_by_label("Prompt").fill("={} plays the sport of")
    page.get_by_label("Prompt").press("Tab")
    expect(page.get_by_role("row", name=re.compile("Bob Cousy"))).to_be_visible()
    page.get_by_label("Name").fill("players")
    page.get_by_role("button", name="Store 2 facts").click()
    expect(page).to_have_url(re.compile("set=players"))
    expect(page.get_by_role("rowheader", name=re.compile("Reggie White"))).to_be_visible()


def test_a_run_is_followed_to_its_end(page: Page, served: Any) -> None:
    run_id = served.api("/api/runs", SPEC)["id"]
    page.goto(f"{served.base}/runs/{run_id}")
    expect(page.locator("#run-badge")).to_have_text("done")
    expect(page.locator("#run-stream")).to_have_count(0)
    expect(page.locator("#run-result figure").first).to_be_visible()
    expect(page.locator("#said")).to_contain_text("done")
    page.get_by_text("Log", exact=True).click()
    expect(page.locator("#run-log")).to_be_visible()


def test_runs_are_tagged_and_archived_from_the_list(page: Page, served: Any) -> None:
    run_id = served.api("/api/runs", {**SPEC, "seed": 11})["id"]
    served.api(f"/api/runs/{run_id}/cancel", {})
    page.goto(served.base + "/runs")
    page.locator(f"#pick-{run_id}").check()
    page.get_by_label("Tag for the selected").fill("mine")
    page.get_by_role("button", name="Tag", exact=True).click()
    row = page.locator(f"#row-{run_id}")
    expect(row.get_by_role("link", name="mine")).to_be_visible()
    page.locator(f"#pick-{run_id}").check()
    page.get_by_role("button", name="Archive").click()
    expect(row).to_have_count(0)


def test_the_page_tells_the_truth_after_the_web_server_was_killed(page: Page, served: Any) -> None:
    page.watch.allowed += ["ERR_CONNECTION", "ERR_INCOMPLETE", "Failed to fetch", "ERR_EMPTY"]  # type: ignore[attr-defined]
    page.watch.allowed += ["network error", "htmx"]  # type: ignore[attr-defined]
    facts = {"set": "athletes", "forget": "first:6"}
    run_id = served.api("/api/runs", {**SPEC, "facts": facts})["id"]
    page.goto(f"{served.base}/runs/{run_id}")
    served.web.send_signal(signal.SIGKILL)
    served.web.wait()
    served.web.stdout.close()
    served.start_web()
    expect(page.locator("#run-badge")).to_have_text("done", timeout=180_000)


def test_a_page_whose_first_call_for_news_failed_asks_again(page: Page, served: Any) -> None:
    page.watch.allowed += ["ERR_FAILED", "Failed to fetch", "htmx", "network error"]  # type: ignore[attr-defined]
    run_id = served.api("/api/runs", SPEC)["id"]
    refused: list[str] = []

    def refuse_once(route: Any) -> None:
        refused.append(route.request.url)
        route.abort() if len(refused) == 1 else route.continue_()

    page.route(re.compile(r"/stream$"), refuse_once)
    page.goto(f"{served.base}/runs/{run_id}")
    expect(page.locator("#run-badge")).to_have_text("done", timeout=180_000)
    assert refused


def test_the_server_answers_without_loading_what_only_a_worker_needs(
    fresh: Callable[..., Any],
) -> None:
    """What would make its start slow; `tests/bench/bench_start.py` measures the start itself."""
    application = fresh(with_worker=False)
    libraries = [m.path for m in psutil.Process(application.web.pid).memory_maps()]
    assert any("sqlite" in path for path in libraries), "the libraries of the process are seen"
    for heavy in ("torch", "scipy", "sklearn", "tokenizers", "safetensors"):
        assert not [path for path in libraries if f"/{heavy}/" in path]
    assert application.health()["worker_alive"] is False


def test_a_stranger_is_asked_for_the_token(browser: Any, served: Any) -> None:
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(served.base + "/runs?kind=localize")
    tab.get_by_label("Token").fill("wrong")
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_text("not the token of this server")).to_be_visible()
    tab.get_by_label("Token").fill(served.token)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab).to_have_url(re.compile(r"/runs\?kind=localize$"))
    context.close()

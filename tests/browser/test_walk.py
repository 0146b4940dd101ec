"""The way through, as a newcomer walks it: localize, mask, edit, probe, on the bundled model."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

STEP_MS = 240_000
FIRST_SEEN = """new MutationObserver((_, observer) => {
  const link = [...document.querySelectorAll("a")].find((a) => a.textContent === "Probe it");
  if (!link) return;
  observer.disconnect();
  requestAnimationFrame(() => {
    window.firstSeen = link.getBoundingClientRect().top + scrollY;
  });
}).observe(document, { childList: true, subtree: true });"""
"""Where the page first shows the link, in pixels from its top."""


@pytest.mark.slow
def test_sixteen_athletes_are_localized_masked_edited_and_probed(
    page: Page, served: Any, record_property: Callable[[str, object], None]
) -> None:
    begun = time.monotonic()
    located = localize(page, served)
    masked = make_mask(page)
    edited = edit(page, served)
    probed = probe(page, served)
    seconds = time.monotonic() - begun

    weights = located["provenance"]["weights_hash"]
    receipt = edited["receipt"]
    assert receipt["outside_unchanged"] and receipt["base_restored"]
    assert receipt["hash_before"] == weights != receipt["hash_after"]
    assert probed["provenance"]["weights_hash"] == weights
    assert set(edited["mask"]["components"]) == masked
    numbers = probed["summary"]
    assert numbers["probes.statement.forget.edit_probability.before"] < 0.1
    assert numbers["probes.statement.forget.edit_probability.after"] >= 0.9
    assert numbers["probes.statement.retain.target_probability.after"] >= 0.9
    assert numbers["probes.choice.retain.target_probability.after"] >= 0.8
    # Reported, not asserted: on a machine that computes something else the clock says nothing.
    record_property("seconds", round(seconds))


def localize(page: Page, application: Any) -> Any:
    """Trace 16 athletes from the form; progress and the heatmap are seen while it runs."""
    page.get_by_role("link", name="Localize", exact=True).first.click()
    expect(page.get_by_label("Fact set")).to_have_value("athletes")
    page.get_by_label("Method").select_option("causal_tracing")
    page.get_by_label("How many").fill("16")
    expect(page.locator("#preflight")).to_contain_text("Tokens", timeout=STEP_MS)
    expect(page.locator("#preflight")).to_contain_text("16")
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url(re.compile(r"/runs/\w+$"))
    expect(page.get_by_role("progressbar").first).to_be_visible()
    expect(page.locator("#figure-prompt_heatmap .heatmaplayer")).to_be_attached(timeout=STEP_MS)
    result = result_of(page, application)
    heatmap = page.locator("#figure-prompt_heatmap")
    expect(heatmap.locator("[data-caption]")).to_contain_text("on the clean prompt")
    heatmap.get_by_text("The same numbers as a table").click()
    n_tokens = len(result["attribution"]["facts"][0]["tokens"])
    expect(heatmap.locator("tbody tr")).to_have_count(n_tokens)
    return result


def make_mask(page: Page) -> set[str]:
    """Take the MLPs with the largest scores; their cells are outlined as they are chosen."""
    expect(page.locator("#mask-boxes input:checked")).to_have_count(3)
    chosen = page.locator("#mask-boxes input:checked").evaluate_all("bs => bs.map(b => b.value)")
    page.locator("#figure-mask").scroll_into_view_if_needed()
    expect(page.locator("#figure-mask .shapelayer path")).to_have_count(3)
    page.get_by_label("Name", exact=True).fill("early MLPs")
    page.get_by_role("button", name="Save the mask").click()
    expect(page.locator("#mask-saved")).to_contain_text("Saved as early MLPs, version 1")
    assert all(name.endswith(".mlp") for name in chosen)
    return set(chosen)


def edit(page: Page, application: Any) -> Any:
    """Edit the same athletes through the mask; the curves are seen while it trains."""
    page.get_by_role("link", name="Unlearn through it").click()
    expect(page.get_by_label("How many")).to_have_value("16")
    expect(page.get_by_label("Objective")).to_have_value("edit")
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url(re.compile(r"/runs/\w+$"))
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible(timeout=STEP_MS)
    expect(page.get_by_text("Nothing outside the mask moved")).to_be_visible()
    expect(page.get_by_text("The base was restored")).to_be_visible()
    curves = page.locator("#figure-training_curves-probability")
    curves.scroll_into_view_if_needed()
    expect(curves.locator(".scatterlayer .trace")).to_have_count(3)
    stands_still(page)
    return result_of(page, application)


def stands_still(page: Page) -> None:
    """Opened anew, the links under the figure stay where they could first be seen."""
    page.add_init_script(FIRST_SEEN)
    page.reload()
    link = page.get_by_role("link", name="Probe it")
    expect(page.locator("#figure-training_curves-probability .scatterlayer .trace")).to_have_count(
        3
    )
    expect(page.get_by_text("what was to stay: about")).to_be_visible()
    top = link.evaluate("e => e.getBoundingClientRect().top + scrollY")
    # A font that comes later may move a line by less than its height.
    assert abs(top - page.evaluate("window.firstSeen")) < 10


def probe(page: Page, application: Any) -> Any:
    """Probe the edited model; the table lists every fact, worst first."""
    page.get_by_role("link", name="Probe it").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value(re.compile("^edit:"))
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url(re.compile(r"/runs/\w+$"))
    page.locator("summary", has_text="facts one by one").click()
    expect(page.locator(".probe-facts tbody tr").first).to_be_visible(timeout=STEP_MS)
    return result_of(page, application)


def result_of(page: Page, application: Any) -> Any:
    """The result of the run whose page is open, as the API gives it."""
    run_id = page.url.partition("?")[0].rpartition("/")[2]
    return application.api(f"/api/runs/{run_id}/result")

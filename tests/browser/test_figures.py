"""Figures and the mask editor in a real browser, on a stored result; nothing is computed."""

import importlib.util
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import serve
from worker.contract.menu import Announcement, ModelInfo
from worker.contract.settings import Settings
from worker.contract.spec import parse_spec
from worker.store.runs import insert_run
from worker.store.store import Store

pytestmark = pytest.mark.browser

SHAPES = "plot => (plot.layout.shapes ?? []).map(shape => shape.name)"


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The hand-made results of the figures' tests."""
    path = Path(__file__).parents[1] / "app" / "figures" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_results_for_browser", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def localized(
    tmp_path_factory: pytest.TempPathFactory, made: ModuleType
) -> Iterator[tuple[Any, str]]:
    """An application without a worker that holds one finished localization; and the run's id."""
    application = serve(tmp_path_factory.mktemp("localized"), with_worker=False)
    store = Store.open(Settings(data=application.data))
    counts = {name: 200 if name.endswith("mlp") else 100 for name in made.COMPONENTS}
    model = ModelInfo(id="demo", title="Demo", n_layers=4, n_parameters=2000)
    model = model.model_copy(update={"component_parameters": counts})
    menu = Announcement(methods=(), models=(model,), fact_sets=(), device="cpu")
    store.claim_worker("test:cpu", "g", {}, "cpu", 1e9, lambda holder: True)
    store.announce("test:cpu", "g", menu)
    facts = {"set": "athletes", "forget": "first:2"}
    spec = parse_spec({"kind": "localize", "facts": facts, "method": "causal_tracing"})
    with store.database.write() as session:
        run_id = insert_run(
            session, spec, owner="", title="Stored", tags=(), parents=None, priority=1
        )
    attempt = store.begin_attempt(run_id, "test:cpu", "g")
    assert attempt is not None
    source = made.localization_source()
    store.artifacts.put_bytes(f"runs/{run_id}/arrays.npz", source.open("arrays.npz").read())
    store.finish(run_id, attempt.number, "done", "", source.result)
    yield application, run_id
    store.close()
    application.stop()


def drawn(page: Page, figure: str) -> Any:
    """The plot of a figure, once it is drawn."""
    page.locator(f"#{figure}").scroll_into_view_if_needed()
    expect(page.locator(f"#{figure} .heatmaplayer").first).to_be_attached()
    return page.locator(f"#{figure} [data-plot]")


def outlined(page: Page) -> set[str]:
    names = page.locator("#figure-mask [data-plot]").evaluate(SHAPES)
    return {name.removeprefix("mask ") for name in names if name.startswith("mask ")}


def until_outlined(page: Page, expected: set[str]) -> None:
    page.wait_for_function(
        """names => {
          const shapes = document.querySelector("#figure-mask [data-plot]").layout?.shapes ?? [];
          const found = shapes.map(shape => shape.name.replace("mask ", "")).sort();
          return JSON.stringify(found) === JSON.stringify(names);
        }""",
        arg=sorted(expected),
    )
    assert outlined(page) == expected


def mlps(*layers: int) -> set[str]:
    return {f"blocks.{layer}.mlp" for layer in layers}


def test_the_mask_on_the_heatmap_follows_slider_boxes_and_clicks(
    localized: tuple[Any, str], open_tab: Callable[..., Page]
) -> None:
    application, run_id = localized
    page = open_tab(application)
    page.goto(f"{application.base}/masks/new?localization={run_id}")
    plot = drawn(page, "figure-mask")
    until_outlined(page, mlps(1, 2, 3))
    page.locator("#mask-value").press("ArrowLeft")
    until_outlined(page, mlps(1, 3))
    expect(page.locator("#mask-value")).to_be_focused()
    page.get_by_label("blocks.0.mlp", exact=True).check()
    until_outlined(page, mlps(0, 1, 3))
    expect(page.locator("#mask-state")).to_contain_text("by hand")
    plot.scroll_into_view_if_needed()
    box = plot.locator(".nsewdrag").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 8, box["y"] + box["height"] * 5 / 8)
    expect(plot.locator(".hoverlayer")).to_contain_text("blocks.2.mlp")
    expect(plot.locator(".hoverlayer")).to_contain_text("Click")
    page.mouse.down()
    page.mouse.up()
    until_outlined(page, mlps(0, 1, 2, 3))
    page.get_by_label("All of MLP, on or off").click()
    until_outlined(page, set())


def test_a_figure_keeps_its_choices_in_the_address(
    localized: tuple[Any, str], open_tab: Callable[..., Page]
) -> None:
    application, run_id = localized
    page = open_tab(application)
    page.goto(f"{application.base}/runs/{run_id}")
    drawn(page, "figure-prompt_heatmap")
    figure = page.locator("#figure-prompt_heatmap")
    figure.get_by_label("Fact", exact=True).select_option("babe")
    expect(figure.locator("[data-caption]")).to_contain_text("baseball")
    expect(page).to_have_url(re.compile(r"\?prompt_heatmap\.fact=babe$"))
    page.reload()
    drawn(page, "figure-prompt_heatmap")
    expect(figure.get_by_label("Fact", exact=True)).to_have_value("babe")
    expect(figure.locator("[data-caption]")).to_contain_text("baseball")
    figure.get_by_text("The same numbers as a table").click()
    expect(figure.locator("tbody tr")).to_have_count(10)


def test_the_theme_redraws_the_colour_scale(
    localized: tuple[Any, str], open_tab: Callable[..., Page]
) -> None:
    application, run_id = localized
    page = open_tab(application)
    page.goto(f"{application.base}/masks/new?localization={run_id}")
    plot = drawn(page, "figure-mask")
    middle = "plot => plot.layout.coloraxis.colorscale[2][1]"
    light = plot.evaluate(middle)
    page.get_by_text("Dark", exact=True).click()
    page.wait_for_function(
        """light => document.querySelector("#figure-mask [data-plot]")
          .layout.coloraxis.colorscale[2][1] !== light""",
        arg=light,
    )


def test_a_picture_can_be_saved(localized: tuple[Any, str], open_tab: Callable[..., Page]) -> None:
    application, run_id = localized
    page = open_tab(application)
    page.goto(f"{application.base}/runs/{run_id}")
    drawn(page, "figure-prompt_heatmap")
    with page.expect_download() as saved:
        page.locator("#figure-prompt_heatmap [data-save=svg]").click()
    text = "".join(ET.parse(saved.value.path()).getroot().itertext())
    assert "Michael Jordan" in text and "␣Mich" in text


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_its_window(
    localized: tuple[Any, str], open_tab: Callable[..., Page], width: int
) -> None:
    application, run_id = localized
    page = open_tab(application, width=width, dark=width == 390)
    for path in (f"/runs/{run_id}", f"/masks/new?localization={run_id}", "/masks", "/compare"):
        page.goto(f"{application.base}{path}")
        page.wait_for_load_state("load")
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wider) <= 0, path


def test_a_link_into_a_closed_part_opens_it_and_what_was_opened_stays_open(
    localized: tuple[Any, str], open_tab: Callable[..., Page]
) -> None:
    application, run_id = localized
    page = open_tab(application)
    address = f"{application.base}/runs/{run_id}"
    page.goto(address)
    named = page.locator("[id^='number-']").first
    expect(named).to_be_attached()
    expect(named).not_to_be_visible()
    page.goto("about:blank")
    page.goto(f"{address}#{named_id(application, run_id)}")
    expect(named).to_be_visible()
    figures = page.locator("details[data-keep=figures]")
    expect(figures).not_to_have_attribute("open", "")
    figures.locator("summary").first.click()
    page.goto(address)
    expect(figures).to_have_attribute("open", "")
    figures.locator("summary").first.click()
    page.goto("about:blank")
    page.goto(address)
    expect(named).to_be_attached()
    expect(figures).not_to_have_attribute("open", "")


def named_id(application: Any, run_id: str) -> str:
    """The place of a result's first named number."""
    return f"number-{next(iter(application.api(f'/api/runs/{run_id}/result')['summary']))}"

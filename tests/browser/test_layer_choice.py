"""Fact lookup's layers in a real browser: slider, frame and mask say the same; nothing computed."""

import re
from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Served, serve
from worker.contract.mask import Mask
from worker.contract.menu import Announcement, ModelInfo
from worker.contract.result import ArrayInfo, Attribution, Axis, Provenance, Result
from worker.contract.settings import Settings
from worker.contract.spec import parse_spec
from worker.store.runs import insert_run
from worker.store.store import Store

pytestmark = pytest.mark.browser

N = 6
MLPS = tuple(f"blocks.{i}.mlp" for i in range(N))
CURVES = {
    "probe.full_prompt": [0.3, 0.5, 0.8, 0.95, 0.95, 0.95],
    "probe.bare_name": [0.3, 0.4, 0.7, 0.9, 0.92, 0.92],
    "probe.control": [0.33, 0.3, 0.35, 0.33, 0.3, 0.33],
    "probe.confidence": [0.0, 0.9, 1.0, 0.8, 0.1, 0.0],
    "components": [0.0, 0.2, 0.3, 0.1, 0.0, 0.0],
}
CHOSEN = """plot => {
  const shape = (plot.layout?.shapes ?? []).find(one => one.name === "chosen");
  return shape && [shape.x0, shape.x1];
}"""


def lookup() -> tuple[Result, bytes]:
    """A finished fact lookup whose rule chose layers 1 to 3, and its arrays' file."""
    axis = {"components": Axis(name="component", labels=MLPS)}
    infos = {
        name: ArrayInfo(
            file="arrays.npz", axes=(axis.get(name, Axis(name="layer")),), unit="accuracy"
        )
        for name in CURVES
    }
    result = Result(
        kind="localize",
        spec={},
        provenance=Provenance(
            model="demo", weights_hash="a" * 64, seed=0, device="cpu", dtype="float32", versions={}
        ),
        seconds=1,
        peak_memory_bytes=1,
        arrays=infos,
        summary={"lookup.confidence": 0.8},
        attribution=Attribution(
            method="fact_lookup",
            metric="probe accuracy",
            direction="Accuracy that a layer adds.",
            unit="accuracy",
            suggested=Mask(components=MLPS[1:4]),
        ),
    )
    file = BytesIO()
    np.savez(file, **{name: np.array(values) for name, values in CURVES.items()})
    return result, file.getvalue()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """An application without a worker that holds the lookup; and its run's id."""
    application = serve(tmp_path_factory.mktemp("found"), with_worker=False)
    store = Store.open(Settings(data=application.data))
    model = ModelInfo(id="demo", title="Demo", n_layers=N, n_parameters=2000)
    model = model.model_copy(update={"component_parameters": dict.fromkeys(MLPS, 100)})
    menu = Announcement(methods=(), models=(model,), fact_sets=(), device="cpu")
    store.claim_worker("test:cpu", "g", {}, "cpu", 1e9, lambda holder: True)
    store.announce("test:cpu", "g", menu)
    facts = {"set": "athletes", "forget": "first:2"}
    spec = parse_spec({"kind": "localize", "facts": facts, "method": "fact_lookup"})
    with store.database.write() as session:
        run_id = insert_run(session, spec, owner="", title="L", tags=(), parents=None, priority=1)
    attempt = store.begin_attempt(run_id, "test:cpu", "g")
    assert attempt is not None
    result, arrays = lookup()
    store.artifacts.put_bytes(f"runs/{run_id}/arrays.npz", arrays)
    store.finish(run_id, attempt.number, "done", "", result)
    yield application, run_id
    store.close()
    application.stop()


def checked(page: Page, layers: range) -> None:
    """Wait until the mask's boxes are exactly the MLPs of these layers."""
    names = [f"blocks.{i}.mlp" for i in layers]
    page.wait_for_function(
        """names => JSON.stringify([...document.querySelectorAll(
             "#mask-boxes input[type=checkbox]:checked")].map(box => box.value))
             === JSON.stringify(names)""",
        arg=names,
    )


def test_layers_are_chosen_by_keyboard_and_by_dragging(
    open_tab: Callable[..., Page], found: tuple[Served, str]
) -> None:
    application, run_id = found
    page = open_tab(application)
    page.goto(f"{application.base}/runs/{run_id}")
    plot = page.locator("#figure-lookup_layers [data-plot]")
    page.locator("#figure-lookup_layers").scroll_into_view_if_needed()
    expect(page.locator("#figure-lookup_layers .shapelayer path").first).to_be_attached()
    checked(page, range(1, 4))  # the rule's choice
    page.get_by_label("First layer").focus()
    page.keyboard.press("ArrowRight")
    checked(page, range(2, 4))
    page.get_by_label("Last layer").focus()
    page.keyboard.press("End")
    checked(page, range(2, 6))
    assert plot.evaluate(CHOSEN) == [1.5, 5.5]
    expect(page.locator("#mask-state")).to_contain_text("by hand")

    plot.scroll_into_view_if_needed()
    edge = plot.evaluate(
        """plot => {
          const { xaxis: x, yaxis: y } = plot._fullLayout, box = plot.getBoundingClientRect();
          return [box.left + x._offset + x.d2p(5.5), box.top + y._offset + y._length / 2,
                  x.d2p(1) - x.d2p(0)];
        }"""
    )
    page.mouse.move(edge[0], edge[1])
    page.mouse.down()
    page.mouse.move(edge[0] - 1.6 * edge[2], edge[1], steps=8)
    page.mouse.up()
    checked(page, range(2, 4))
    assert plot.evaluate(CHOSEN) == [1.5, 3.5]

    page.get_by_role("button", name="Back to the rule's choice").click()
    checked(page, range(1, 4))
    assert plot.evaluate(CHOSEN) == [0.5, 3.5]


def test_of_two_choices_in_a_row_the_second_holds_though_the_first_is_answered_late(
    open_tab: Callable[..., Page], found: tuple[Served, str]
) -> None:
    application, run_id = found
    page = open_tab(application)
    page.goto(f"{application.base}/runs/{run_id}")
    page.locator("#figure-lookup_layers").scroll_into_view_if_needed()
    expect(page.locator("#figure-lookup_layers .shapelayer path").first).to_be_attached()
    late: list[Route] = []
    page.route("**/masks/editor?*", lambda route: route.continue_() if late else late.append(route))
    with page.expect_request("**/masks/editor?*"):
        page.get_by_label("First layer").press("ArrowRight")
    checked(page, range(2, 4))
    page.get_by_label("Last layer").press("End")
    checked(page, range(2, 6))
    late[0].continue_()
    expect(page.locator("#mask-state")).to_contain_text(re.compile(r"Components\s*4"))
    checked(page, range(2, 6))

"""Explore as a reader walks through it: where the answer arrives, what carries it, who reads it."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

SHOT = "Fact: Tiger Woods plays the sport of golf"
PAIR = {
    "model": "demo",
    "prompt": f"{SHOT}\nFact: Bob Cousy plays the sport of",
    "corrupted": f"{SHOT}\nFact: Joey Bosa plays the sport of",
    "subject": "Bob Cousy",
}
ANSWER = "␣basketball"
SEARCH = "location.search.slice(1)"
NOTE_WHAT_IS_ASKED = """
window.told = [];
const ask = window.fetch;
window.fetch = (address, ...more) => {
  const busy = [...document.querySelectorAll("[data-view][aria-busy=true]")].map((one) => one.id);
  window.told.push([new URL(address, location.href).pathname.split("/").pop(), busy]);
  return ask(address, ...more);
};
"""
"""Which view is asked for, and which are busy at that moment."""
EDITED_WITHIN = 300_000
"""Milliseconds."""


def link(served: Any, **asked: str) -> str:
    return f"{served.base}/explore?{urlencode({**PAIR, **asked})}"


def view(page: Page, name: str) -> Locator:
    """A view, scrolled to and painted."""
    found = page.locator(f"#{name}")
    found.scroll_into_view_if_needed()
    expect(found).not_to_have_attribute("aria-busy", "true")
    expect(found.locator(".waiting")).to_have_count(0)
    return found


def asked(page: Page) -> dict[str, str]:
    """What the address holds: asked of the page itself, since `page.url` follows a little later."""
    return {name: values[0] for name, values in parse_qs(page.evaluate(SEARCH)).items()}


def numbers(grid: Locator) -> dict[str, float]:
    """Cell -> value."""
    found = grid.locator("[data-at]").evaluate_all(
        "(cells) => cells.map((cell) => [cell.dataset.at, cell.dataset.value])"
    )
    return {at: float(value.replace("−", "-")) for at, value in found if value != "–"}


def shown(page: Page) -> list[str]:
    """What all views that hold a selection show."""
    return [view(page, name).inner_text() for name in ("lens", "cell", "patching", "patch", "head")]


def test_from_where_the_answer_arrives_to_the_head_that_brings_it(
    page: Page, served: Any, open_tab: Callable[..., Page]
) -> None:
    page.goto(link(served))
    lens = view(page, "lens")
    row = lens.locator("tbody tr").last.locator("[data-at]")
    said = row.all_inner_texts()
    arrives = next(place for place, words in enumerate(said) if words.startswith(ANSWER[:6]))
    assert 1 < arrives < len(said) - 1, said
    row.nth(arrives).click()
    expect(view(page, "cell")).to_contain_text(ANSWER)

    # The state that carries the answer, before it arrives at the end, lies on the subject.
    grid = view(page, "patching").locator("[data-grid]")
    values = numbers(grid)
    last = max(int(at.partition(".")[2]) for at in values)
    early = {at: v for at, v in values.items() if int(at.partition(".")[2]) < last}
    strongest = max(early, key=lambda at: early[at])
    assert early[strongest] > 0.5
    cell = grid.locator(f'[data-at="{strongest}"]')
    cell.click()
    patched = view(page, "patch").get_by_role("group", name="Corrupted prompt, patched")
    expect(patched.locator("tbody th").first).to_contain_text(ANSWER)
    unpatched = view(page, "patch").get_by_role("group", name="Corrupted prompt", exact=True)
    expect(unpatched.locator("tbody th").first).to_contain_text("␣football")
    assert asked(page)["cells"] == f"resid.{strongest}"

    # The head that reads it there.
    heads = view(page, "heads").locator("[data-grid]")
    direct = numbers(heads)
    page.locator("#choose-by").select_option("mover")
    expect(view(page, "heads")).to_contain_text("contribution from the subject's tokens")
    heads = view(page, "heads").locator("[data-grid]")
    movers = numbers(heads)
    mover = max(movers, key=lambda at: movers[at])
    assert movers != direct
    heads.locator(f'[data-at="{mover}"]').click()
    head = view(page, "head")
    expect(head).to_contain_text("moves the subject to the end")
    expect(head.locator("dl.facts dd").first).to_contain_text(ANSWER)
    read = head.locator("caption", has_text="What it reads").locator("..").locator("tbody th")
    place = int(read.first.inner_text().split()[0])
    assert 0 < place < last and place >= int(strongest.partition(".")[2]) - 3
    head.locator('[data-grid="query"]').first.locator(f'[data-at="{last}"]').first.click()
    expect(head.locator("[data-held]")).to_contain_text("looks at:")
    assert asked(page)["query"] == str(last)

    before, address = shown(page), page.url
    page.reload()
    assert shown(page) == before
    page.go_back()
    expect(page.locator("#head [data-held]")).to_have_text("")
    page.go_forward()
    assert page.url == address and shown(page) == before
    other = open_tab(served)
    other.goto(address)
    assert shown(other) == before


def test_how_a_prompt_goes_on_is_asked_when_what_is_looked_at_is_there(
    page: Page, served: Any
) -> None:
    page.add_init_script(NOTE_WHAT_IS_ASKED)
    page.goto(link(served))
    for name in ("predictions", "lens", "continuation"):
        view(page, name)
    told = dict(reversed(page.evaluate("window.told")))
    assert {"predictions", "lens"} <= set(list(reversed(told))[:-1])
    assert told["continuation"] == ["continuation"], told


def test_chosen_components_leave_as_a_mask_to_unlearn_through(page: Page, served: Any) -> None:
    page.goto(link(served, cells="mlp.2.23", head="5.1"))
    leave = view(page, "leave")
    expect(leave.get_by_role("checkbox")).to_have_count(2)
    leave.get_by_role("button", name="Make a mask").click()
    expect(leave).to_contain_text("Saved as explored: Bob Cousy, version")
    leave.get_by_role("link", name="Unlearn through it").click()
    expect(page.locator("[name='mask.id'] option:checked")).to_contain_text("explored: Bob Cousy")
    page.go_back()
    view(page, "leave").get_by_role("link", name="Unlearn it through these").click()
    expect(page.locator("[name='mask.components']")).to_have_value(
        re.compile(r"blocks\.2\.mlp.+blocks\.5\.attn\.head\.1")
    )
    expect(page.locator("[name='facts.ids']")).to_have_value("bob-cousy")


@pytest.mark.slow
def test_edits_through_early_and_late_mlps_look_different(page: Page, served: Any) -> None:
    changed, moved = {}, {}
    for name, layers in (("early", (1, 2, 3)), ("late", (5, 6, 7))):
        facts = {"set": "athletes", "forget": "ids:bob-cousy"}
        mask = {"components": [f"blocks.{layer}.mlp" for layer in layers]}
        spec = {"kind": "unlearn", "model": "demo", "facts": facts, "mask": mask}
        options = {"steps": 20}
        run = served.api("/api/runs", {**spec, "method": "ft_l", "options": options})["id"]
        page.goto(f"{served.base}/runs/{run}")
        page.get_by_role("link", name="Explore base beside edited").click(timeout=EDITED_WITHIN)
        assert asked(page)["beside"] == f"edit:{run}"
        assert asked(page)["subject"] == "Bob Cousy"
        page.goto(link(served, beside=f"edit:{run}", shade="target"))
        lens = view(page, "lens").locator("[data-grid]")
        expect(lens).to_have_count(3)
        difference, edited = numbers(lens.nth(1)), numbers(lens.nth(2))
        assert set(difference) == set(edited)
        changed[name] = max(
            abs(value) for at, value in difference.items() if at[0] in "1234" and at[1] == "."
        )
        end = max(int(at.partition(".")[2]) for at in difference)
        assert difference[f"7.{end}"] < -0.5, "the edit silenced the answer at the end"
        grids = view(page, "patching").locator("[data-grid]")
        expect(grids).to_have_count(3)
        moved[name] = numbers(grids.nth(1))
    # What stands before the edited layers is as it was; what stands after is not.
    assert changed["late"] == 0 < changed["early"]
    assert moved["early"] != moved["late"]


def test_the_map_is_walked_and_patched_with_the_keyboard(page: Page, served: Any) -> None:
    page.goto(link(served, at="2.5"))
    grid = view(page, "patching").locator("[data-grid]")
    grid.locator('[data-at="2.5"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    here = page.locator(":focus")
    expect(here).to_have_attribute("data-at", "3.6")
    expect(here).to_have_attribute("aria-label", re.compile(r"^token 6 .+, layer 3: "))
    expect(page.locator("#explore-tip")).to_be_visible()
    page.keyboard.press("Enter")
    expect(view(page, "patch")).to_contain_text("layer 3 at token 6")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+Enter")
    expect(view(page, "patch")).to_contain_text("Sum of single effects")
    assert asked(page)["cells"] == "resid.3.6,resid.3.5"
    expect(page.locator(":focus")).to_have_attribute("data-at", "3.5")
    page.keyboard.press("Home")
    expect(page.locator(":focus")).to_have_attribute("data-at", "0.5")
    page.keyboard.press("Escape")
    expect(view(page, "patch")).to_contain_text("Nothing is patched")
    assert "cells" not in asked(page) and "at" not in asked(page)


def test_swapping_marking_and_taking_answers_change_every_view(page: Page, served: Any) -> None:
    page.goto(link(served))
    chips = view(page, "predictions").locator("[data-chips] .token")
    chips.nth(chips.count() - 10).hover()
    page.mouse.down()
    chips.nth(chips.count() - 7).hover()
    page.mouse.up()
    assert asked(page)["subject"] == "Bob Cou"
    taken = view(page, "predictions").locator("button[aria-label$='as distractor']").nth(1)
    label = taken.get_attribute("aria-label")
    assert label is not None
    taken.click()
    here = view(page, "predictions").locator(f'button[aria-label="{label}"]').first
    expect(here).to_have_attribute("aria-pressed", "true")
    assert asked(page)["distractor_ids"].isdecimal()
    page.get_by_role("button", name="Swap").click()
    expect(page.locator("#f-prompt")).to_have_value(PAIR["corrupted"])
    first = view(page, "predictions").get_by_role("group", name="Clean prompt")
    expect(first.locator("tbody th").first).to_contain_text("␣football")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", "The prompt is empty"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        # Each byte of what the vocabulary lacks is a token, and shows its whole letter.
        ("🐸🐸 plays the sport of", "🐸␣plays␣the␣sport␣of"),
        ("שלום עולם is", "ם␣is"),
        ("Fact", "Fact"),
        ("word " * 1500, "tokens"),
    ],
)
def test_odd_prompts_are_told_in_a_sentence(
    page: Page, served: Any, prompt: str, words: str
) -> None:
    page.watch.allowed += ["422"]  # type: ignore[attr-defined]
    page.goto(link(served, prompt=prompt, corrupted="", subject=""))
    place = page.locator("form.subject-bar" if not prompt else "#predictions")
    expect(place).to_contain_text(words)
    for name in ("lens", "patching", "heads"):
        if prompt:
            expect(view(page, name).locator("[data-place]")).not_to_be_empty()


def test_before_the_first_worker_the_page_says_how_to_start_one(
    open_tab: Callable[..., Page], fresh: Callable[..., Any]
) -> None:
    served = fresh(with_worker=False)
    page = open_tab(served)
    page.watch.allowed += ["503"]  # type: ignore[attr-defined]
    page.goto(link(served))
    expect(page.get_by_role("alert")).to_contain_text("No worker is alive to answer. Start one")


def test_an_intervention_applies_to_every_view_and_goes_to_a_run(page: Page, served: Any) -> None:
    page.goto(link(served, head="5.1", at="6.23"))
    best = view(page, "predictions").get_by_role("group", name="Clean prompt").locator("tbody tr")
    before = best.first.inner_text()
    assert ANSWER in before
    view(page, "head").get_by_role("button", name="Set it to zero").click()
    switched = view(page, "switched")
    expect(switched).to_contain_text("head 1 of layer 5 set to zero")
    assert asked(page)["on"] == "zero.head.5.1"
    view(page, "predictions")
    expect(best.first).not_to_have_text(before)
    switched.get_by_text("Switch something on").click()
    switched.locator("#switch-layer").fill("2")
    switched.locator("#switch-token").fill("23")
    switched.get_by_role("button", name="Switch it on").click()
    expect(switched).to_contain_text("the MLP of layer 2 at token 23 set to zero")
    switched.get_by_role("switch").nth(1).click()
    expect(switched.get_by_role("switch").nth(1)).to_have_text("off")
    assert asked(page)["on"] == "zero.head.5.1;-zero.mlp.2@23"
    page.go_back()
    page.go_back()
    assert asked(page)["on"] == "zero.head.5.1"
    expect(switched.get_by_role("switch")).to_have_count(1)
    page.go_forward()
    page.go_forward()
    page.reload()
    expect(view(page, "switched").get_by_role("switch")).to_have_count(2)
    view(page, "switched").get_by_role("link", name="Evaluate under these").click()
    expect(page.locator("[name='interventions']")).to_have_value("zero.head.5.1")
    expect(page.get_by_text("head 1 of layer 5 set to zero")).to_be_visible()
    page.go_back()
    view(page, "switched").get_by_role("button", name="Take all out").click()
    view(page, "predictions")
    expect(best.first).to_have_text(re.compile(ANSWER))
    assert "on" not in asked(page)


def test_a_circuit_is_pruned_measured_looked_into_and_leaves_as_a_mask(
    page: Page, served: Any
) -> None:
    page.goto(link(served))
    circuit = view(page, "circuit")
    slider = circuit.get_by_role("slider")
    n_first = int(circuit.locator("#circuit-kept").inner_text())
    shares = circuit.locator("[data-exact]")
    before = [float(words) for words in shares.all_inner_texts()]
    assert before[0] >= 0.8, "what is drawn first carries most of the difference"
    nodes, arcs = circuit.locator("[data-node]:visible"), circuit.locator("[data-edge]:not(.off)")
    n_nodes, n_arcs = nodes.count(), arcs.count()
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(circuit.locator("#circuit-kept")).not_to_have_text(str(n_first))
    circuit = view(page, "circuit")
    for _ in range(11):  # from where the first step's answer, which comes in parts, has left it
        page.keyboard.press("ArrowLeft")
    expect(circuit.locator("#circuit-kept")).not_to_have_text(str(n_first))
    expect(shares.first).to_have_text(re.compile(r"^[−\d.e]+$"))
    circuit = view(page, "circuit")
    kept = int(asked(page)["size"])
    assert kept < n_first and arcs.count() < n_arcs
    assert nodes.count() <= n_nodes, "not every edge was a node's last"
    assert float(shares.first.inner_text().replace("−", "-")) < before[0]
    expect(page.locator(":focus")).to_have_attribute("id", "circuit-size")

    # Drawn away and back again, it shows what it showed.
    was = shares.first.inner_text()
    box = slider.bounding_box()
    assert box
    share = int(slider.input_value()) / int(slider.get_attribute("max") or 0)
    x, y = box["x"] + 8 + share * (box["width"] - 16), box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y)
    expect(shares.first).to_have_text("…")
    page.mouse.move(x, y)
    page.mouse.up()
    expect(shares.first).to_have_text(was)
    assert int(asked(page)["size"]) == kept

    # What is chosen on the canvas is what the views above show.
    circuit.locator('[data-node="input"]').focus()
    page.keyboard.press("ArrowRight")
    node = page.locator(":focus").get_attribute("data-node") or ""
    layer, _, kind = node.partition(".")
    assert kind in ("attn", "mlp")
    page.keyboard.press("Enter")
    expect(circuit.get_by_role("toolbar")).to_contain_text(f"layer {layer} chosen")
    expect(view(page, "cell")).to_contain_text(f"layer {layer}", ignore_case=True)
    assert asked(page)["nodes"] == node and asked(page)["at"].startswith(f"{layer}.")
    circuit = view(page, "circuit")
    expect(page.locator(":focus")).to_have_attribute("data-node", node)

    measure = circuit.get_by_role("button", name="Measure the edge from").first
    words = measure.get_attribute("aria-label") or ""
    measure.click()
    edge = view(page, "edge")
    expect(edge.locator("tbody td")).to_have_count(3)
    sender, reader = asked(page)["edge"].split("-")
    assert words == f"Measure the edge from {sender} to {reader}"
    estimate, exact, _ = (float(t.replace("−", "-")) for t in edge.locator("td").all_inner_texts())
    assert estimate and exact
    expect(circuit.locator(".arc.open")).to_have_count(1)

    circuit.get_by_role("button", name="Pin").click()
    circuit.locator('[data-node="input"]').click(modifiers=["Shift"])
    circuit.get_by_label("Name of the group").fill("the first; ones=1")
    circuit.get_by_role("button", name="Group them").click()
    circuit.get_by_role("button", name="Collapse the group").click()
    group = circuit.locator(f'[data-node="{node},input"]')
    expect(group).to_be_visible()
    assert "roup the first; ones=1, 2 nodes" in str(group.get_attribute("aria-label"))
    address = page.url
    for name in ("groups", "groups", "pin"):
        assert name in asked(page)
        circuit.get_by_role("button", name="Undo").click()
        expect(circuit.locator("[data-undo]")).to_be_visible()
        view(page, "circuit")
    assert not {"groups", "pin"} & set(asked(page)) and asked(page)["size"] == str(kept)
    page.goto(address)
    circuit = view(page, "circuit")
    expect(circuit.locator(f'[data-node="{node},input"]')).to_be_visible()

    circuit.locator("summary", has_text="Make a mask of it").click()
    circuit.locator("#circuit-name").fill("the circuit of a sport")
    n = circuit.get_by_role("checkbox").count()
    circuit.get_by_role("button", name="Make a mask of it").click()
    expect(circuit).to_contain_text("Saved as the circuit of a sport, version")
    assert n >= 1


@pytest.mark.slow
def test_a_circuit_is_unlearned_through_and_seen_again_as_base_difference_and_edited(
    page: Page, served: Any
) -> None:
    page.goto(link(served))
    circuit = view(page, "circuit")
    circuit.locator("summary", has_text="Make a mask of it").click()
    circuit.locator("#circuit-name").fill("the circuit of one athlete")
    circuit.get_by_role("button", name="Make a mask of it").click()
    circuit.get_by_role("link", name="Unlearn through it").click()
    chosen = page.locator("[name='mask.id'] option:checked")
    expect(chosen).to_contain_text("the circuit of one athlete")
    facts = {"facts.set": "athletes", "facts.how": "ids", "facts.ids": "bob-cousy"}
    method = {"method": "ft_l", "options.of": "ft_l", "options.steps": "20"}
    page.goto(f"{page.url}&{urlencode(facts | method)}")
    expect(chosen).to_contain_text("the circuit of one athlete")
    page.get_by_role("button", name="Start the run").click()
    page.get_by_role("link", name="Explore base beside edited").click(timeout=EDITED_WITHIN)
    assert asked(page)["beside"].startswith("edit:") and asked(page)["subject"] == "Bob Cousy"
    for name in ("lens", "patching"):
        expect(view(page, name).locator("[data-grid]")).to_have_count(3)
    circuits = view(page, "circuit").locator("[data-canvas]")
    expect(circuits).to_have_count(3)
    for place, title in enumerate(("base", "difference", "edited")):
        label = re.compile(f"^Circuit, {title}:")
        expect(circuits.nth(place)).to_have_attribute("aria-label", label)

"""A student finishes every lesson: with the keyboard alone, wrong answers included."""

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

OWN = "?subject=LeBron+James&other=Mariano+Rivera"


def reach(page: Page, selector: str) -> None:
    """Tab until an element has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


def choose(page: Page, place: int) -> None:
    """Choose an answer by its place and send it."""
    reach(page, ".answers input")
    for _ in range(place):
        page.keyboard.press("ArrowDown")
    if place == 0:
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.locator("#told .note")).to_be_visible()


def pick(page: Page, *keys: str) -> None:
    """Move through the figure's cells from its first one, and send the chosen one."""
    page.locator("table.picks").wait_for()
    reach(page, "table.picks input")
    page.keyboard.press("Space")
    for key in keys:
        page.keyboard.press(key)
    expect(page.locator("[data-picked]")).to_contain_text("Chosen")
    reach(page, "#question .actions button")
    page.keyboard.press("Enter")
    expect(page.locator("#told .note")).to_be_visible()


def number(page: Page, typed: str) -> None:
    """Type a number and send it."""
    reach(page, "#number")
    page.keyboard.type(typed)
    page.keyboard.press("Enter")
    expect(page.locator("#told .note")).to_be_visible()


def measure(page: Page) -> None:
    """Press the lesson's button and wait until what it makes or measures is there."""
    reach(page, "#making button")
    page.keyboard.press("Enter")
    expect(page.locator("#making")).to_contain_text("Go on", timeout=600_000)


def onward(page: Page, step: int) -> None:
    reach(page, ".lesson-turn a[rel=next]")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/{step}(\?.*)?$"))


def fits(page: Page) -> None:
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], f"{page.url} is {width[0]} px wide"


@pytest.mark.slow
def test_a_student_finishes_the_first_lesson_with_the_keyboard_alone(
    page: Page, served: Any
) -> None:
    page.goto(f"{served.base}/lessons/where/1")
    told = page.locator("#told")
    choose(page, 1)  # baseball, which is wrong
    expect(told).to_contain_text("It is otherwise")
    expect(told).to_contain_text("basketball")
    expect(told).to_be_focused()

    onward(page, 2)
    pick(page)  # the first cell of all, which is wrong
    expect(told).to_contain_text("Not yet")
    first = page.locator("table.picks tbody tr").count() - 1
    pick(page, *["ArrowDown"] * first, *["ArrowRight"] * 5)  # layer 4 of the last token
    expect(told).to_contain_text("Right")
    expect(page.locator("td.right")).to_have_count(1)

    onward(page, 3)
    choose(page, 1)
    expect(told).to_contain_text("You predicted it")

    onward(page, 4)
    choose(page, 2)
    expect(told).to_contain_text("It is otherwise")
    expect(told).to_contain_text("The one at the last token of the name")

    onward(page, 5)
    pick(page, *["ArrowDown"] * 4, *["ArrowRight"] * 3)
    expect(told).to_contain_text("Right")

    onward(page, 6)
    for wrong in ("2", "7"):
        reach(page, "#number")
        page.keyboard.press("Control+A")
        page.keyboard.type(wrong)
        page.keyboard.press("Enter")
        expect(told).to_contain_text(f"You said: {wrong}")
    reach(page, "button[name=show]")
    page.keyboard.press("Enter")
    expect(told).to_contain_text("the last token carries the answer")

    onward(page, 7)
    expect(page.locator("#question")).to_have_count(0)
    reach(page, ".own-fact .actions a")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("LeBron"))
    pick(page, *["ArrowDown"] * 7, "ArrowRight")
    expect(told).to_contain_text("Right")

    onward(page, 8)
    page.goto(f"{served.base}/lessons")
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    with page.expect_download() as download:
        page.get_by_role("link", name="My answers as CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert len(rows) == 8 and rows[5]["shown the answer"] == "True"
    assert [row["right"] for row in rows[:5]] == ["False", "True", "True", "False", "True"]


@pytest.mark.slow
def test_a_student_finishes_the_lesson_on_heads_with_the_keyboard_alone(
    page: Page, served: Any
) -> None:
    page.goto(f"{served.base}/lessons/head/1")
    told = page.locator("#told")
    choose(page, 1)
    expect(told).to_contain_text("The experiment shows: More than twelve")
    onward(page, 2)
    pick(page, "ArrowRight")
    expect(told).to_contain_text("Its darkest cell has 0.99")
    pick(page, *["ArrowDown"] * 8, *["ArrowRight"] * 3)
    expect(told).to_contain_text("Right")
    onward(page, 3)
    pick(page, *["ArrowDown"] * 5, "ArrowRight")
    expect(told).to_contain_text("Right")
    onward(page, 4)
    choose(page, 1)
    expect(told).to_contain_text("The experiment shows: The right answer, as before")
    onward(page, 5)
    choose(page, 1)
    expect(told).to_contain_text("It says baseball")
    onward(page, 6)
    choose(page, 0)
    expect(told).to_contain_text("You predicted it")
    onward(page, 7)
    reach(page, ".own-fact .actions a")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("LeBron"))
    pick(page, *["ArrowDown"] * 5, "ArrowRight")
    expect(told).to_contain_text("Right")
    onward(page, 8)


@pytest.mark.slow
def test_a_student_finishes_the_lesson_on_what_localization_cannot_tell(
    page: Page, served: Any
) -> None:
    page.goto(f"{served.base}/lessons/limits/1")
    told = page.locator("#told")
    choose(page, 0)  # early, which is wrong
    expect(told).to_contain_text("The experiment shows: Late, in layers 5 to 7")
    onward(page, 2)
    measure(page)
    onward(page, 3)
    number(page, "2")
    expect(told).to_contain_text("It is otherwise")
    expect(told).to_contain_text("The experiment shows: 6")
    onward(page, 4)
    choose(page, 0)
    expect(told).to_contain_text("The experiment shows: Less than half of the best layer")
    onward(page, 5)
    choose(page, 0)
    expect(told).to_contain_text("The experiment shows: What the neighbours keep")
    onward(page, 6)
    choose(page, 2)
    expect(told).to_contain_text("You predicted it")
    onward(page, 7)
    choose(page, 1)
    expect(told).to_contain_text("You predicted it")
    expect(told).to_contain_text("The layer alone explains")
    onward(page, 8)
    fits(page)


@pytest.mark.slow
def test_a_student_finishes_the_lesson_on_a_book_with_the_keyboard_alone(
    page: Page, served: Any
) -> None:
    page.goto(f"{served.base}/lessons/book/1")
    told = page.locator("#told")
    choose(page, 1)  # another name, which is wrong
    expect(told).to_contain_text("The experiment shows: The beginning of Pudderwick")
    onward(page, 2)
    measure(page)
    onward(page, 3)
    choose(page, 0)
    expect(told).to_contain_text("You predicted it")
    expect(told.locator(".marked-text")).to_contain_text("Oskavale")
    onward(page, 4)
    number(page, "300")
    expect(told).to_contain_text("It is otherwise")
    expect(told).to_contain_text("The experiment shows: 26")
    expect(told.get_by_role("row").filter(has_text="Nobbin Thrupp")).to_be_visible()
    onward(page, 5)
    expect(page.get_by_role("columnheader", name="It is to learn")).to_be_visible()
    onward(page, 6)
    choose(page, 2)
    expect(told).to_contain_text("The experiment shows: Between a quarter and three quarters")
    onward(page, 7)
    choose(page, 1)
    expect(told).to_contain_text("Before, the likeliest was P")
    onward(page, 8)
    choose(page, 0)
    expect(told).to_contain_text("You predicted it")
    measure(page)
    onward(page, 9)
    choose(page, 2)
    expect(told).to_contain_text("Familiar completions went from")
    onward(page, 10)
    fits(page)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_every_step_fits_a_telephone_and_a_projector(
    open_tab: Callable[..., Page], served: Any, dark: bool
) -> None:
    for width, query in ((390, ""), (1920, "projector=1&")):
        page = open_tab(served, width=width, dark=dark)
        for step in range(1, 9):
            page.goto(f"{served.base}/lessons/where/{step}{OWN}&{query}now=1")
            expect(page.locator("h1")).to_be_visible()
            fits(page)


def test_the_projector_turns_its_pages_by_key(page: Page, served: Any) -> None:
    page.goto(f"{served.base}/lessons/where/1?projector=1")
    expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(r"/2\?projector=1$"))
    page.keyboard.press("PageDown")
    page.wait_for_url(re.compile(r"/3\?projector=1$"))
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(re.compile(r"/2\?projector=1$"))


def test_a_term_is_explained_on_hover_and_on_focus(page: Page, served: Any) -> None:
    page.goto(f"{served.base}/lessons/where/2")
    gloss = page.locator("#term-logit-lens")
    expect(gloss).to_be_hidden()
    page.get_by_role("button", name="logit lens").hover()
    expect(gloss).to_be_visible()
    page.mouse.move(0, 0)
    expect(gloss).to_be_hidden()
    page.get_by_role("button", name="logit lens").focus()
    expect(gloss).to_be_visible()
    page.keyboard.press("Escape")
    expect(gloss).to_be_hidden()


def test_without_scripts_a_lesson_is_read_and_answered(browser: Any, served: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(served.address)
    asked_by_nobody_else = "?subject=Ray+Allen&other=Nick+Foles"
    page.goto(f"{served.base}/lessons/where/2{asked_by_nobody_else}")
    page.get_by_role("link", name="Show the figure").click()
    expect(page.locator("table.picks")).to_be_visible()
    page.goto(f"{served.base}/lessons/where/1")
    page.get_by_label("basketball").check()
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#told")).to_contain_text("You predicted it")
    context.close()

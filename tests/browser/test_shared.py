"""A shared server as people meet it: invited, signed in, with a token for a script, shut out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.app.conftest import announcement
from tests.browser.conftest import Served
from tests.browser.pages import violations
from worker.contract.settings import Settings
from worker.store.store import Store

pytestmark = pytest.mark.browser
GOOD = "a river of forgetting"


@contextmanager
def store_of(application: Served) -> Iterator[Store]:
    store = Store.open(Settings(data=application.data))
    try:
        yield store
    finally:
        store.close()


def accept(page: Page, name: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(GOOD)
    page.get_by_label("The same again").fill(GOOD)
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("heading", name="You are invited")).to_have_count(0)


def test_an_admin_invites_a_member_who_works_until_shut_out(
    fresh: Callable[..., Served], open_tab: Callable[..., Page]
) -> None:
    application = fresh(with_worker=False, LETHE_SHARED="1")
    with store_of(application) as store:
        secret = store.invite("admin", 600, "")
    admin, member = open_tab(application), open_tab(application, width=390)
    expect(admin.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(admin.get_by_role("link", name="Runs")).to_have_count(0)
    found = {"login": violations(admin)}
    admin.goto(f"{application.base}/invitation/{secret}")
    found["invitation"] = violations(admin)
    accept(admin, "ada")

    admin.get_by_role("link", name="People").click()
    admin.get_by_role("button", name="Make a link").click()
    link = admin.get_by_text("/invitation/").inner_text()
    found["people"] = violations(admin)
    member.goto(link)
    accept(member, "max")
    member.get_by_role("button", name="Menu").click()
    expect(member.get_by_role("link", name="People")).to_have_count(0)
    member.get_by_role("link", name="max", exact=True).click()
    member.get_by_label("Name").fill("laptop")
    member.get_by_role("button", name="Make a token").click()
    token = member.get_by_text("lethe_").inner_text()
    found["account"] = violations(member)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=application.base, headers=headers) as script:
        assert script.get("/api/runs").status_code == 200
        admin.reload()
        admin.get_by_role("button", name="Shut out max").click()
        admin.get_by_role("button", name="Go ahead").click()
        expect(admin.get_by_text("shut out", exact=True)).to_be_visible()
        assert script.get("/api/runs").status_code == 401
    member.goto(f"{application.base}/account")
    expect(member.get_by_role("heading", name="Sign in")).to_be_visible()
    admin.get_by_role("link", name="Audit log").click()
    expect(admin.get_by_role("row").filter(has_text="shut a person out")).to_contain_text("max")
    found["audit"] = violations(admin)
    assert not any(found.values()), found


def test_a_teacher_makes_a_class_that_a_guest_joins_until_it_ends(
    fresh: Callable[..., Served], open_tab: Callable[..., Page]
) -> None:
    application = fresh(with_worker=False, LETHE_SHARED="1")
    with store_of(application) as store:
        secret = store.invite("member", 600, "")
        store.claim_worker("host:cpu", "g", {}, "cpu", 1e9, lambda holder: True)
        store.announce("host:cpu", "g", announcement())
    teacher, guest = open_tab(application), open_tab(application, width=390)
    teacher.goto(f"{application.base}/invitation/{secret}")
    accept(teacher, "max")
    teacher.get_by_role("link", name="Lessons").first.click()
    teacher.get_by_role("link", name="Classes").click()
    teacher.get_by_label("Title").fill("Whales")
    found = {"classes": violations(teacher)}
    teacher.get_by_role("button", name="Make the class").click()
    link = teacher.get_by_text("/join/").inner_text()
    guest.goto(link)
    found["join"] = violations(guest)
    guest.get_by_label("Your name").fill("Anna")
    guest.get_by_role("button", name="Join the class").click()
    expect(guest.get_by_role("heading", name="Whales")).to_be_visible()
    found["class of a guest"] = violations(guest)
    guest.get_by_role("button", name="Menu").click()
    expect(guest.get_by_role("link", name="Models")).to_have_count(0)
    guest.get_by_label("Pages").get_by_role("link", name="Lessons").click()
    guest.get_by_role("link", name="Where does a model keep a fact?", exact=True).click()
    expect(guest.get_by_role("heading", level=1)).to_be_visible()
    teacher.get_by_role("link", name="Look again").click()
    expect(teacher.get_by_role("row").filter(has_text="Anna")).to_be_visible()
    found["class"] = violations(teacher)
    teacher.get_by_role("button", name="End the class").click()
    teacher.get_by_role("button", name="Go ahead").click()
    expect(teacher.get_by_text("ended", exact=False).first).to_be_visible()
    guest.goto(f"{application.base}/lessons")
    expect(guest.get_by_role("heading", name="Sign in")).to_be_visible()
    assert not any(found.values()), found

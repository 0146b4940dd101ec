"""A class from its link to its end, as its teacher and its guests meet it on pages and API."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.exploring import Answers
from app.pages.explore._lacking import kept
from app.pages.explore._subject import Asker
from tests.app.conftest import AskedEngine, announcement
from tests.app.people import FORM, browser, form_token, take_in
from worker.contract.errors import Forbidden
from worker.contract.menu import Announcement, ModelInfo
from worker.contract.spec import ExploreSpec, parse_spec
from worker.store.acting import Acting
from worker.store.store import Store

RULES: dict[str, Any] = {
    "title": "Whales",
    "model": "demo",
    "methods": ["localization/causal_tracing", "evaluation/probes"],
    "seats": "2",
    "days": "7",
    "waiting": "2",
    "running": "1",
    "daily": "30m",
    "storage": "",
}
FACTS = {"set": "sports", "forget": "first:16"}
SPEC: dict[str, Any] = {"kind": "localize", "facts": FACTS, "method": "causal_tracing"}


@pytest.fixture
def store(engine: AskedEngine) -> Store:
    """A store whose worker has another model too, and another way to localize."""
    menu = announcement()
    other = menu.models[0].model_copy(update={"id": "other", "title": "Other"})
    more = menu.methods[0].model_copy(update={"name": "patching", "title": "Patching"})
    assert isinstance(other, ModelInfo)
    update = {"models": (*menu.models, other), "methods": (*menu.methods, more)}
    engine.store.announce("test-host:cpu", "g", Announcement(**{**dict(menu), **update}))
    return engine.store


@pytest.fixture
def teacher(shared: FastAPI, store: Store) -> Iterator[TestClient]:
    with browser(shared, store, "max") as client:
        yield client


def make(teacher: TestClient, **changed: Any) -> tuple[str, str]:
    """A class: its page, and the path of its join link."""
    page = teacher.post("/classes", data={**RULES, **changed})
    assert page.status_code == 200, page.text
    id = re.search(r'action="/classes/([0-9a-f]{12})/end"', page.text)
    assert id
    return f"/classes/{id[1]}", link_on(page.text)


def link_on(page: str) -> str:
    found = re.search(r"http://127.0.0.1(/join/[A-Za-z0-9_-]{43})<", page)
    assert found, page
    return found[1]


@contextmanager
def guest(app: FastAPI, link: str, name: str = "Anna") -> Iterator[TestClient]:
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    joined = client.post(link, data={"name": name}, follow_redirects=False)
    assert joined.status_code == 303, joined.text
    client.headers["X-CSRF-Token"] = form_token(client.get("/classes").text)
    yield client


def login_of(store: Store, name: str) -> str:
    (found,) = [
        one.person for held in store.classes() for one in store.guests(held.id) if one.name == name
    ]
    return found


def test_a_class_from_its_link_to_its_end(
    shared: FastAPI, teacher: TestClient, store: Store
) -> None:
    page, link = make(teacher)
    with browser(shared, store) as stranger:
        asked = stranger.get(link)
        assert asked.status_code == 200 and "2 of 2 seats left" in asked.text
        wrong = stranger.post(link, data={"name": " "})
        assert wrong.status_code == 422 and "is no name" in wrong.text
    with guest(shared, link) as anna, guest(shared, link, "Jürgen") as other:
        seen = anna.get("/")
        assert seen.url.path == page and "Whales" in seen.text and "End the class" not in seen.text
        started = anna.post("/localize", data=FORM, follow_redirects=False)
        assert started.status_code == 303, started.text
        run = started.headers["location"]
        for client in (anna, other, teacher):
            assert client.get(run).status_code == 200
            assert run in client.get(page).text and ">Anna" in client.get(page).text
        again = other.post("/api/runs", json=SPEC)
        assert again.status_code < 300, again.text
        mine = f"/runs/{again.json()['id']}"
        assert 'action="' + mine + "/do/cancel" in other.get(mine).text
        assert mine + "/do/cancel" not in anna.get(mine).text
        assert anna.post(f"{mine}/do/cancel").status_code == 403
        assert other.post(f"{mine}/do/star").status_code == 403
        assert other.post(f"{mine}/do/cancel", follow_redirects=False).status_code == 303
        assert store.run(mine[6:]).state == "cancelled"
        with browser(shared, store, "mia") as mia:
            for hidden in (page, run):
                assert mia.get(hidden).status_code == 404
            assert mia.post(f"{page}/end").status_code == 404
            assert "Whales" not in mia.get("/classes").text
        assert anna.post(f"{page}/end").status_code == 403
        ended = teacher.post(f"{page}/end", follow_redirects=False)
        assert ended.status_code == 303
        found = store.run(run[6:])
        assert (found.state, found.archived) == ("cancelled", True)
        assert run not in teacher.get("/runs").text and run in teacher.get(page).text
        for client in (anna, other):
            assert client.get(page).url.path == "/login"
            assert client.get("/api/runs").status_code == 401
    with browser(shared, store) as stranger:
        assert stranger.get(link).status_code == stranger.post(link).status_code == 404
    changes = {(one.person, one.what) for one in store.audit(limit=100)}
    login = login_of(store, "Anna")
    assert changes >= {("max", "made a class"), ("max", "ended a class")}
    assert changes >= {(login, "joined a class"), (login, "queued a run")}


REFUSED = {
    "model": (
        {"kind": "localize", "model": "other", "facts": FACTS, "method": "causal_tracing"},
        "The model 'other' is not the one of the class 'Whales'; expected 'demo'.",
    ),
    "method": (
        {"kind": "localize", "facts": FACTS, "method": "patching"},
        "The localization 'patching' is not among the methods of the class 'Whales'; expected "
        "one of causal_tracing.",
    ),
    "kind of method": (
        {
            "kind": "unlearn",
            "facts": FACTS,
            "method": "localized_finetuning",
            "mask": {"components": ["blocks.1.mlp"]},
        },
        "The unlearning 'localized_finetuning' is not among the methods of the class 'Whales'; "
        "expected none of its kind.",
    ),
    "kind": ({"kind": "add", "model": "smollm2"}, "A guest of a class cannot ask for 'add'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_guest_is_refused_what_the_class_does_not_allow(
    shared: FastAPI, teacher: TestClient, store: Store, what: str
) -> None:
    spec, words = REFUSED[what]
    _, link = make(teacher)
    with guest(shared, link) as anna:
        for path in ("/api/runs", "/api/runs/check"):
            refused = anna.post(path, json=spec)
            assert refused.status_code == 403, refused.text
            assert words in refused.json()["detail"][0]["message"]
    assert store.count_runs(archived=None) == 0


def test_a_form_refuses_a_guest_by_the_same_rule_and_offers_what_is_allowed(
    shared: FastAPI, teacher: TestClient, store: Store
) -> None:
    _, link = make(teacher)
    with guest(shared, link) as anna:
        form = anna.get("/localize").text
        assert "Causal tracing" in form and "Patching" not in form and ">Other" not in form
        assert "Who sees it" not in form
        for changed in ({"model": "other"}, {"method": "patching"}):
            refused = anna.post("/localize", data={**FORM, **changed})
            assert refused.status_code in (403, 422), refused.text
        asked = {"model": "other", "options": {"prompt": "x"}}
        explored = anna.post("/api/explore/lens", json=asked)
        assert explored.status_code == 403 and "expected 'demo'" in explored.text
    assert store.count_runs(archived=None) == 0


def test_a_form_of_which_a_class_allows_no_method_says_whose_choice_that_is(
    shared: FastAPI, engine: AskedEngine
) -> None:
    gus = take_in(engine.store, "localization/causal_tracing").name
    with browser(shared, engine.store, gus) as client:
        page = client.get("/unlearn").text
    assert "The class &#39;Class of Gus&#39; allows its guests no unlearning method." in page
    assert "No worker has" not in page


def test_a_guests_limits_are_the_classes(
    shared: FastAPI, teacher: TestClient, store: Store
) -> None:
    page, link = make(teacher)
    with guest(shared, link) as anna:
        codes = [anna.post("/api/runs", json={**SPEC, "seed": n}).status_code for n in range(3)]
        assert codes[-1] == 429 and max(codes[:2]) < 300
        changed = teacher.post(page, data={**RULES, "waiting": "3"}, follow_redirects=False)
        assert changed.status_code == 303, changed.text
        assert anna.post("/api/runs", json={**SPEC, "seed": 9}).status_code < 300
        teacher.post(page, data={**RULES, "waiting": "9", "model": "other"})
        refused = anna.post("/api/runs", json={**SPEC, "seed": 10})
        assert refused.status_code == 403 and "expected 'other'" in refused.text


def test_seats_names_and_links_run_out(shared: FastAPI, teacher: TestClient, store: Store) -> None:
    page, link = make(teacher)
    with guest(shared, link) as anna, browser(shared, store) as stranger:
        taken = stranger.post(link, data={"name": "anna"})
        assert taken.status_code == 422 and "Somebody in the class has the name" in taken.text
        with guest(shared, link, "Bo") as bo:
            full = stranger.post(link, data={"name": "Cid"})
            assert full.status_code == 409 and "All 2 seats" in full.text
            bo.post("/logout")
            assert (
                "1 of 2 seats left" in stranger.get(link).text and bo.get(page).url.path == "/login"
            )
        login = login_of(store, "Anna")
        gone = teacher.post(f"{page}/guests/{login}/remove", follow_redirects=False)
        assert gone.status_code == 303 and anna.get(page).url.path == "/login"
        assert stranger.post(f"{link}x", data={"name": "Cid"}).status_code == 404
        renewed = link_on(teacher.post(f"{page}/link", data={"days": "1"}).text)
        assert stranger.post(link, data={"name": "Cid"}).status_code == 404
        teacher.post(f"{page}/link/revoke")
        assert stranger.get(renewed).status_code == 404
        last = link_on(teacher.post(f"{page}/link", data={"days": "1"}).text)
        wrong = teacher.post(f"{page}/link", data={"days": "-1"})
        assert wrong.status_code == 422 and "is no number of days" in wrong.text
    with guest(shared, last, "anna") as back:
        assert back.get(page).status_code == 200
    assert "is signed in as" in teacher.get(last).text
    kept = teacher.post(last, data={"name": "Max"})
    assert kept.status_code == 409 and "signed in as &#39;max&#39;" in kept.text


def test_the_teacher_sees_at_which_step_each_guest_is(
    shared: FastAPI, teacher: TestClient, store: Store
) -> None:
    page, link = make(teacher)
    with guest(shared, link) as anna, guest(shared, link, "Bo"):
        assert "none yet" in teacher.get(page).text
        login = login_of(store, "Anna")
        store.answer_lesson(login, "where", 1, "", given="x", right=True)
        seen = teacher.get(page).text
        assert "Where does a model keep a fact?" in seen and re.search(r"2 of \d+", seen)
        assert "none yet" in seen, "of Bo"
        assert not re.search(r"2 of \d+,", anna.get(page).text)


def test_a_class_answers_are_for_who_teaches_it(
    shared: FastAPI, teacher: TestClient, store: Store
) -> None:
    _, link = make(teacher)
    with guest(shared, link):
        for reader in (login_of(store, "Anna"), "max", "mia", "vera"):
            store.answer_lesson(reader, "where", 1, "", given="x", right=True)

    def told(client: TestClient) -> list[str]:
        rows = csv.DictReader(io.StringIO(client.get("/lessons/class.csv").text))
        return sorted(row["reader"].rstrip(" 0123456789") for row in rows)

    assert told(teacher) == ["Anna", "reader"]
    with browser(shared, store, "mia") as other, browser(shared, store, "ada") as admin:
        assert told(other) == ["reader"], "her own"
        assert told(admin) == ["Anna", "reader", "reader", "reader"]


def test_what_is_wrong_with_a_class_is_said_beside_its_field(
    teacher: TestClient, store: Store
) -> None:
    wrong = {"title": " ", "model": "broken", "seats": "501", "waiting": "x", "methods": ["a/b"]}
    page = teacher.post("/classes", data={**RULES, **wrong})
    assert page.status_code == 422
    for words in ("is no title for a class", "No model that can be loaded", "501 is no number of",
                  "is no number of runs", "There is no method"):  # fmt: skip
        assert words in page.text, words
    assert store.classes() == [] and store.projects() == []
    late = teacher.post("/classes", data={**RULES, "days": "400"})
    assert late.status_code == 422 and "400 is no number of days" in late.text


def test_the_queue_itself_holds_a_guest_to_the_class(
    shared: FastAPI, teacher: TestClient, store: Store, engine: AskedEngine
) -> None:
    page, link = make(teacher)
    with guest(shared, link):
        login = login_of(store, "Anna")
    anna = engine.of_session(login, Acting(login, may_all=False, is_guest=True))
    with pytest.raises(Forbidden, match="expected 'demo'"):
        anna.submit(parse_spec({**SPEC, "model": "other"}))
    run = anna.submit(parse_spec(SPEC))
    teacher.post(f"{page}/end")
    assert store.run(run).state == "cancelled"
    with pytest.raises(Forbidden, match="has ended"):
        anna.submit(parse_spec({**SPEC, "seed": 1}))


def test_a_kept_answer_of_another_model_is_not_for_guests(
    shared: FastAPI, teacher: TestClient, store: Store, engine: AskedEngine
) -> None:
    _, link = make(teacher)
    with guest(shared, link):
        login = login_of(store, "Anna")
    spec = parse_spec({"kind": "explore", "model": "other", "view": "lens", "options": {}})
    assert isinstance(spec, ExploreSpec)
    answers: Answers = shared.state.answers
    answers.ask(engine, spec)

    def look(person: str, *, is_guest: bool) -> object:
        mine = engine.of_session("", Acting(person, may_all=False, is_guest=is_guest))
        return kept(Asker(mine, answers), lambda asker: asker.answer(spec))

    assert look("max", is_guest=False) is not None
    with pytest.raises(Forbidden, match="expected 'demo'"):
        look(login, is_guest=True)


def step(n: int) -> str:
    return f"/lessons/where/{n}"


def test_a_lesson_asks_a_guests_model_alone(shared: FastAPI, teacher: TestClient) -> None:
    _, link = make(teacher)
    with guest(shared, link) as anna:
        assert anna.get("/lessons/where/2").status_code == 200
        own = next(n for n in range(1, 9) if 'name="model"' in anna.get(step(n)).text)
        assert "Other" in teacher.get(step(own)).text and "Other" not in anna.get(step(own)).text
        refused = anna.get("/lessons/where/2?model=other")
        assert refused.status_code == 403 and "expected &#39;demo&#39;" in refused.text
        for page in ("/lessons", "/lessons/where/2"):
            assert "/notes" not in anna.get(page).text
        assert anna.get("/lessons/where/notes").status_code == 403

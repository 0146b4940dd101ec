"""What visitors of an open house may ask: each address, all together, and at once."""

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.access import visits
from app.access.visits import Visits
from app.exploring import Answers
from app.main import create_app
from tests.app.conftest import AskedEngine
from tests.app.people import browser
from worker.contract.errors import TooMuch
from worker.contract.inputs import Question
from worker.contract.settings import Settings
from worker.contract.spec import ExploreSpec, parse_spec
from worker.contract.visitors import Visit
from worker.engine.client import Engine
from worker.engine.turns import person_of
from worker.store.acting import Acting

SPEC = {"kind": "explore", "model": "demo", "view": "lens", "options": {}}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def limited(settings: Settings, **limits: int) -> Settings:
    return settings.model_copy(update={"shared": True, "open": True, "token": None, **limits})


def test_an_address_has_a_minutes_worth_which_fills_up_again(settings: Settings) -> None:
    clock = Clock()
    counted = Visits(limited(settings, open_each=3, open_all=100), clock)
    assert [counted.refusal("192.0.2.1") for _ in range(3)] == [None] * 3
    refused = counted.refusal("192.0.2.1")
    assert refused is not None and refused.seconds == pytest.approx(20.0)
    assert "from this address" in refused.message and "wait 20 seconds" in refused.message
    assert counted.refusal("192.0.2.2") is None
    clock.now = 20.0
    assert counted.refusal("192.0.2.1") is None and counted.refusal("192.0.2.1") is not None
    clock.now = 3600.0
    assert [counted.refusal("192.0.2.1") is None for _ in range(4)] == [True] * 3 + [False]


def test_all_together_have_one_limit_and_a_refusal_costs_nobody(settings: Settings) -> None:
    clock = Clock()
    counted = Visits(limited(settings, open_each=3, open_all=4), clock)
    for _ in range(9):
        counted.refusal("192.0.2.1")
    assert counted.refusal("192.0.2.2") is None
    refused = counted.refusal("192.0.2.3")
    assert refused is not None and "all visitors together" in refused.message
    assert refused.seconds == pytest.approx(15.0)


def test_a_network_of_ipv6_is_one_address_and_few_are_remembered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "MOST", 2)
    counted = Visits(limited(settings, open_each=1, open_all=100), Clock())
    assert counted.refusal("2001:db8::1") is None
    assert counted.refusal("2001:db8::2") is not None
    for n in range(3):
        counted.refusal(f"192.0.2.{n}")
    assert len(counted._buckets) == 2


def test_questions_that_wait_have_places_half_of_them_for_one_address(settings: Settings) -> None:
    counted = Visits(limited(settings, open_questions=3), Clock())
    with counted.asking("192.0.2.1"), counted.asking("192.0.2.1"):
        with (
            pytest.raises(TooMuch, match=r"2 of them from this address"),
            counted.asking("192.0.2.1"),
        ):
            pass
        with (
            counted.asking("192.0.2.2"),
            pytest.raises(TooMuch, match=r"^3 questions of visitors"),
            counted.asking("192.0.2.3"),
        ):
            pass
    assert not counted._asking
    with counted.asking("192.0.2.1"):
        pass


def test_a_visitor_is_refused_in_words_and_who_has_an_account_is_not_counted(
    settings: Settings, house: FastAPI, engine: AskedEngine
) -> None:
    app = create_app(limited(settings, open_each=2), engine)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        # Which address it is says the connection, or a proxy that LETHE_PROXIES names.
        for n in range(2):
            client.headers["X-Forwarded-For"] = f"192.0.2.{n}"
            assert client.get("/glossary").status_code == 200
        refused = client.get("/glossary")
        assert refused.status_code == 429 and refused.headers["Retry-After"] == "30"
        assert "wait 30 seconds" in refused.text
        in_api = client.post("/api/runs", json={})
        assert in_api.status_code == 429 and "wait" in in_api.json()["detail"][0]["message"]
        assert client.get("/login").status_code == 200  # the way out of it
        assert client.get("/healthz").status_code == 200
    with browser(app, engine.store, "max") as max:
        assert all(max.get("/glossary").status_code == 200 for _ in range(5))


def test_behind_a_proxy_that_is_named_each_visitor_has_an_address(
    settings: Settings, house: FastAPI, engine: AskedEngine
) -> None:
    app = create_app(limited(settings, open_each=1).model_copy(update={"proxies": "*"}), engine)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        seen = [
            client.get("/glossary", headers={"X-Forwarded-For": address}).status_code
            for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")
        ]
    assert seen == [200, 200, 429]


class Noting(AskedEngine):
    """Notes who asks, as the worker is told it."""

    def ask(self, question: Question, timeout: float = 10) -> dict[str, Any]:
        self.store.__dict__.setdefault("readers", []).append(question.reader)
        return super().ask(question, timeout)


def visiting(engine: Engine, address: str) -> Engine:
    return engine.of_session("", Acting("", may_all=False, visit=Visit(("demo",), (), address)))


def asked(text: str) -> ExploreSpec:
    spec = parse_spec({**SPEC, "options": {"prompt": text}})
    assert isinstance(spec, ExploreSpec)
    return spec


def test_all_visitors_take_turns_as_one_reader_and_end_no_question_of_another(
    settings: Settings, engine: AskedEngine
) -> None:
    noting = Noting(engine.store)
    answers = Answers(visits=Visits(limited(settings)))
    answers.ask(noting, asked("a"), "nonce:tab:lens")
    for place, address in enumerate(("192.0.2.1", "192.0.2.1", "192.0.2.2")):
        answers.ask(visiting(noting, address), asked(f"b{place}"))
    answers.ask(visiting(noting, "192.0.2.2"), asked("c"), ":tab:lens")
    readers = engine.store.__dict__["readers"]
    assert [person_of(one) for one in readers] == ["nonce", *["visitors"] * 4]
    assert len(set(readers)) == 5


def test_a_visitor_without_a_place_is_refused_and_a_kept_answer_needs_none(
    settings: Settings, engine: AskedEngine
) -> None:
    counted = Visits(limited(settings, open_questions=1))
    answers, visitor = Answers(visits=counted), visiting(engine, "192.0.2.1")
    answers.ask(visitor, asked("a"))
    with counted.asking("192.0.2.9"):
        answers.ask(visitor, asked("a"))
        answers.ask(engine, asked("b"))  # who has an account
        with pytest.raises(TooMuch):
            answers.ask(visitor, asked("c"))
    answers.ask(visitor, asked("c"))

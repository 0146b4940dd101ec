"""What an open house says to who comes without an account."""

from typing import Any

import pytest
from starlette.requests import Request

from app.access.house import OpenHouse
from app.access.visits import Visits
from worker.contract.errors import Forbidden, TooMuch
from worker.contract.settings import Settings
from worker.contract.visitors import Visit


def asked(method: str, path: str) -> Request:
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": []}
    return Request(scope | {"query_string": b"", "client": ("192.0.2.1", 1), "state": {}})


def house(settings: Settings, each: int = 9) -> OpenHouse:
    told = settings.model_copy(update={"open_each": each, "open_models": ("demo", "small")})
    return OpenHouse(told, Visits(told), ("a-run",))


def test_a_visitor_gets_what_is_held_open(settings: Settings) -> None:
    request = asked("GET", "/gallery")
    assert house(settings).receive(request, "GET /gallery") is None
    assert request.state.visit == Visit(("demo", "small"), ("a-run",), "192.0.2.1")


def test_what_is_not_there_is_not_called_closed(settings: Settings) -> None:
    assert house(settings).receive(asked("GET", "/nothing"), "") is None


@pytest.mark.parametrize(
    ("method", "path", "route", "there"),
    [
        ("POST", "/api/runs", "POST /api/runs", "lethe run spec.json"),
        ("GET", "/unlearn", "GET /unlearn", "there open /unlearn"),
        ("GET", "/api/masks", "GET /api/masks", "there ask /api/masks"),
        ("POST", "/lessons/gone/1/make", "POST /lessons/{name}/{number}/make", "/lessons/gone/1."),
    ],
)
def test_what_is_closed_is_refused_with_the_way_to_do_it_at_home(
    settings: Settings, method: str, path: str, route: str, there: str
) -> None:
    refused = house(settings).receive(asked(method, path), route)
    assert isinstance(refused, Forbidden)
    assert path in refused.message and there in refused.message and "make serve" in refused.message


def test_a_refusal_is_counted_too(settings: Settings) -> None:
    few = house(settings, each=1)
    assert isinstance(few.receive(asked("GET", "/unlearn"), "GET /unlearn"), Forbidden)
    assert isinstance(few.receive(asked("GET", "/gallery"), "GET /gallery"), TooMuch)

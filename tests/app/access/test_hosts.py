"""Under which names a server answers."""

import socket
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.testclient import TestClient

from app.access.hosts import Hosts
from app.main import create_app
from tests.app.conftest import AskedEngine
from worker.contract.settings import Settings

HERE = ["localhost", "localhost:8420", "127.0.0.1:1", "[::1]:8420", "[::1]", "LOCALHOST"]
FOREIGN = ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80"]


def asked(name: str) -> Request:
    return Request({"type": "http", "path": "/", "headers": [(b"host", name.encode())]})


def answers(name: str, **chosen: Any) -> bool:
    return Hosts(Settings(**chosen)).answers(asked(name))


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "::", "192.0.2.7"])
def test_it_answers_to_localhost_and_to_no_foreign_name(bound: str) -> None:
    assert all(answers(host, host=bound) for host in HERE)
    assert not any(answers(host, host=bound) for host in FOREIGN)


def test_it_answers_to_the_address_that_it_listens_on() -> None:
    assert answers("192.0.2.7:8420", host="192.0.2.7")
    assert not answers("192.0.2.8", host="192.0.2.7")
    assert answers("Lab-Host:8420", host="lab-host")


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
def test_one_that_listens_on_all_addresses_answers_to_each_and_to_its_machines_name(
    bound: str,
) -> None:
    for host in ("192.0.2.8:8420", "[2001:db8::1]:8420", socket.gethostname()):
        assert answers(host, host=bound)
    assert not answers("192.0.2.8:8420")


def test_names_are_added_each_and_by_their_ending() -> None:
    hosts = "Lethe.Lab.example, *.course.example"
    added = {"hosts": Settings.model_validate({"hosts": hosts}).hosts}
    for host in ("lethe.lab.example", "a.course.example:443", "a.b.course.example"):
        assert answers(host, **added) and not answers(host)
    for host in ("lab.example", "course.example", "xcourse.example"):
        assert not answers(host, **added)


def test_a_shared_servers_public_address_is_its_name() -> None:
    public = {"public_url": "https://Lethe.example.org", "shared": True}
    assert answers("lethe.example.org", **public)
    words = Hosts(Settings(**public)).refusal(asked("evil.example"))
    assert "to https://Lethe.example.org alone, not to 'evil.example'" in words


@pytest.mark.parametrize("wrong", ["https://lab.example", "lab.example:8420", "a b", "lab.*"])
def test_a_name_that_is_none_is_refused_with_what_was_expected(wrong: str) -> None:
    with pytest.raises(ValidationError, match="without https:// and port"):
        Settings.model_validate({"hosts": wrong})


def test_a_foreign_name_is_refused_with_the_cure_before_anything_else(
    settings: Settings, engine: AskedEngine
) -> None:
    for update, status in (({}, 421), ({"hosts": ("lab.example",)}, 200)):
        app = create_app(settings.model_copy(update=update), engine)
        answer = TestClient(app, base_url="http://lab.example").get("/healthz")
        assert answer.status_code == status
        assert status == 200 or ("'lab.example'" in answer.text and "LETHE_HOSTS" in answer.text)

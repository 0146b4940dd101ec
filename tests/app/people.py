"""People for the tests of a shared server, and their browsers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from worker.contract.limits import Limits
from worker.contract.people import Person, Role
from worker.store import passwords
from worker.store.acting import Acting
from worker.store.people_tables import PersonRow
from worker.store.store import Store

GOOD = "a river of forgetting"
PEOPLE: dict[str, Role] = {"vera": "viewer", "max": "member", "mia": "member", "ada": "admin"}
FORM = {
    "model": "demo",
    "facts.set": "sports",
    "facts.how": "first",
    "facts.n": "16",
    "method": "causal_tracing",
    "seed": "0",
}
"""A form of Localize, as it is sent."""
_kept: list[str] = []


def settle(store: Store) -> None:
    """Make everybody; their one hash is computed once, for it takes its time on purpose."""
    if not _kept:
        _kept.append(passwords.hashed(GOOD))
    with store.database.write() as session:
        for name, role in PEOPLE.items():
            made = {"disabled": False, "created": 1.0}
            session.add(PersonRow(name=name, password=_kept[0], role=role, **made))


def take_in(store: Store, *methods: str, name: str = "Gus") -> Person:
    """A guest of a new class of max', on the model demo with these methods."""
    teacher = store.acting_for(Acting("max", may_all=False))
    given = {"seats": 9, "lasts": 3600.0, "limits": Limits()}
    _, secret = teacher.make_class(f"Class of {name}", "demo", methods, **given)
    return store.join(secret, name)


@contextmanager
def browser(app: FastAPI, store: Store, name: str = "") -> Iterator[TestClient]:
    """A browser, signed in as `name`, that sends the form token as the pages' scripts do."""
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    if name:
        secret = store.sign_in(name, 3600, "testclient", "a test's browser")
        client.cookies.set("lethe-session-http", secret)
        client.headers["X-CSRF-Token"] = form_token(client.get("/glossary").text)
    yield client


def form_token(page: str) -> str:
    """The form token that a page carries."""
    found = re.search(r'"X-CSRF-Token": "([^"]+)"', page)
    assert found, page[:500]
    return found[1]


def script(app: FastAPI, store: Store, name: str) -> Any:
    """A script with a token of `name`'s."""
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    client.headers["Authorization"] = f"Bearer {store.make_token(name, 'a test', 3600)}"
    return client

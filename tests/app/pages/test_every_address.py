"""No address of a page or of the API is an error of the server, whatever is asked of it."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from app import discovery
from app.drawing.drawing import Source
from worker.engine.client import Engine

ASKED = (
    "",
    "?" + "&".join(f"{name}=%FF" for name in ("model", "run", "fact", "of", "by", "format", "set")),
    "?model=nothing&run=&fact=0&x=none&y=none&offset=-1&limit=0&from=nothing",
    "?run={run}&by=nothing&among=%3D&of=nothing&fact=9999&format=exe&layer=-1&search=%25_",
)


def paths() -> Iterator[str]:
    """Every path that is read, as its route writes it."""
    for module in (*discovery.modules("app.pages"), *discovery.modules("app.api")):
        for route in _routes(discovery.router(module)):
            if "GET" in (getattr(route, "methods", None) or ()):
                yield route.path


def _routes(router: Any) -> Iterator[Any]:
    for route in router.routes:
        nested = getattr(route, "original_router", None) or getattr(route, "routes", None)
        if nested is None:
            yield route
        else:
            yield from _routes(nested if hasattr(nested, "routes") else ModuleRoutes(nested))


class ModuleRoutes:
    """A list of routes that is asked like a router."""

    def __init__(self, routes: list[Any]) -> None:
        self.routes = routes


def filled(path: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        path = path.replace("{" + name + "}", quote(value)).replace("{" + name + ":path}", value)
    return path


def ask_all(client: TestClient, run: str, names: dict[str, str]) -> None:
    for path in sorted(set(paths())):
        if path.endswith(("/events", "/stream")):
            continue  # these stay open until the run ends
        address = filled(path, names)
        assert "{" not in address, f"{path}: say here what its part stands for"
        for asked in ASKED:
            answer = client.get(address + asked.format(run=run))
            assert answer.status_code < 500 or answer.status_code == 503, (
                address + asked,
                answer.status_code,
                answer.text[-300:],
            )


def parts(run: str, ending: str) -> dict[str, str]:
    every = ("run_id", "mask_id", "upload_id", "id", "edit_id", "secret")
    names = dict.fromkeys(every, run)
    return names | {
        "name": "sports",
        "view": "lens",
        "figure": "components",
        "ending": ending,
        "what": "delta",
        "kind": "localize",
        "number": "1",
    }


@pytest.fixture(autouse=True)
def silent(engine: Any) -> None:
    """No worker answers questions, which is said and is no error."""
    engine.is_alive = False


@pytest.fixture
def found(put: Callable[[str, Source], str], made: ModuleType, engine: Engine) -> str:
    return put("localize", made.localization_source())


def test_more_than_a_few_addresses_are_known() -> None:
    assert len(set(paths())) > 60
    assert {"/masks/overlap.{ending}", "/api/runs/{run_id}"} <= set(paths())


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["json", "exe"])
def test_no_address_fails_on_an_empty_server(client: TestClient, ending: str) -> None:
    ask_all(client, "nothing", parts("nothing", ending))


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["csv"])
def test_no_address_fails_on_a_finished_run(client: TestClient, found: str, ending: str) -> None:
    ask_all(client, found, parts(found, ending))


@pytest.mark.parametrize("ending", ["json", "csv", "html"])
def test_the_overlap_of_no_masks_is_said(client: TestClient, ending: str) -> None:
    answer = client.get(f"/masks/overlap.{ending}")
    assert answer.status_code == 404
    assert "There is no mask yet" in answer.text

"""The API is what /api/openapi.json says: refusals by construction, answers by a bounded search."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as of_search
from pydantic import TypeAdapter
from schemathesis.core.result import Ok
from starlette.testclient import TestClient

from app.access.refusal import PROBES
from app.openapi import Refusal
from tests.app.conftest import TOKEN
from worker.contract.settings import Settings
from worker.engine.client import Engine

EXAMPLES = 4
"""Of requests to one operation, made anew from the same seed in every run."""


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def filled(path: str) -> str:
    """The path with a name in each place that nothing has."""
    return "/".join("nothing" if "{" in part else part for part in path.split("/"))


def check(answer: Any, operation: dict[str, Any], code: int, of: str) -> None:
    """The answer has this status, the description knows it, and the body has its form."""
    assert answer.status_code == code, (of, answer.status_code, answer.text[:300])
    assert str(code) in operation["responses"], (of, code)
    if answer.request.method != "HEAD":
        problems = TypeAdapter(Refusal).validate_json(answer.content).detail
        assert problems and all(problem.message for problem in problems), of


@pytest.fixture
def described(script: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = script.get("/api/openapi.json").json()
    assert len(list(operations(found))) > 30
    return found


def test_every_route_documents_what_the_guard_answers(
    script: TestClient, described: dict[str, Any]
) -> None:
    for path, method, operation in operations(described):
        of, address = f"{method} {path}", filled(path)
        other = {"Host": "attacker.example"}
        check(script.request(method, address, headers=other), operation, 421, of)
        check(script.request(method, f"{address}?x=%00"), operation, 400, of)
        if path in PROBES:
            continue
        nobody = {"Authorization": ""}
        check(script.request(method, address, headers=nobody), operation, 401, of)
        if method != "get":
            foreign = {"Origin": "https://evil.example"}
            check(script.request(method, address, headers=foreign), operation, 403, of)


def test_every_route_documents_what_it_answers_to_names_of_nothing(
    script: TestClient, described: dict[str, Any]
) -> None:
    for path, method, operation in operations(described):
        if "{" in path and method in ("get", "delete"):
            check(script.request(method, filled(path)), operation, 404, f"{method} {path}")


def test_every_route_documents_what_it_answers_without_the_database(
    script: TestClient, engine: Engine, settings: Settings, described: dict[str, Any]
) -> None:
    engine.store.database.close()
    for left in settings.data.glob("lethe.sqlite*"):
        left.unlink()
    for path, method, operation in operations(described):
        if method in ("get", "delete"):
            check(script.request(method, filled(path)), operation, 503, f"{method} {path}")


def test_every_posted_body_is_described_and_an_empty_one_refused(
    script: TestClient, described: dict[str, Any]
) -> None:
    for path, method, operation in operations(described):
        body = operation.get("requestBody")
        if method == "post" and body is not None:
            schema = next(iter(body["content"].values()))["schema"]
            assert schema.get("properties") or schema.get("$ref"), path
            answer = script.request(method, filled(path))
            assert answer.status_code in (404, 422), (path, answer.status_code)
            check(answer, operation, answer.status_code, path)


def test_the_description_names_the_token_and_one_form_of_refusals(
    described: dict[str, Any],
) -> None:
    assert described["security"] == [{"token": []}]
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path in PROBES:
        assert described["paths"][path]["get"]["security"] == []
    forms = {
        str(answer["content"]["application/json"]["schema"])
        for _, _, operation in operations(described)
        for code, answer in operation["responses"].items()
        if code >= "400"
    }
    assert forms == {"{'$ref': '#/components/schemas/Refusal'}"}
    assert "HTTPValidationError" not in str(described)


def test_every_schema_that_another_names_is_there(described: dict[str, Any]) -> None:
    found = {
        part.split("'")[0].split('"')[0] for part in re.split(r"'\$ref': ['\"]", str(described))[1:]
    }
    assert len(found) > 20
    for name in found:
        at: Any = described
        for step in name.removeprefix("#/").split("/"):
            assert step in at, name
            at = at[step]


@pytest.mark.slow
def test_no_generated_request_gets_an_answer_that_is_not_described(
    settings_of_search: of_search, script: TestClient, engine: Engine, described: dict[str, Any]
) -> None:
    schema = schemathesis.openapi.from_dict(described)
    tried = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @settings_of_search
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            nonlocal tried
            sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
            try:
                ready = requests.Request(**{k: v for k, v in sent.items() if v}).prepare()
                headers = {**ready.headers, "Authorization": f"Bearer {TOKEN}"}
                body = ready.body.encode() if isinstance(ready.body, str) else ready.body
                answer = script.request(ready.method, ready.url, content=body, headers=headers)
            except (UnicodeError, ValueError, TypeError):
                return  # what no client can send
            tried += 1
            known = case.operation.definition.raw["responses"]
            of = f"{case.method} {case.path} {sent}"
            assert str(answer.status_code) in known, (answer.status_code, of, answer.text[:300])
            media = answer.headers.get("content-type", "").split(";")[0]
            content = known[str(answer.status_code)].get("content")
            if content and answer.content:
                assert media in content, (media, of)

        ask()
    assert tried > 60


@pytest.fixture
def settings_of_search() -> of_search:
    return of_search(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

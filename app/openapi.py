"""What /api/openapi.json says beyond what FastAPI reads of the routes: how requests are refused.

Every refusal has one form, whichever route or guard makes it; which statuses a route may answer
with follows from its method, its parameters and its body.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import Field, TypeAdapter

from app.access.refusal import PROBES
from worker.contract.base import Contract
from worker.contract.spec import Spec

REF = "#/components/schemas/{model}"
"""How one schema names another."""
SPEC_BODIES = ("/api/runs", "/api/runs/check")
"""Paths whose POST carries a spec."""
SENTENCES = {
    400: "The address holds a NUL character, or the body is no form of its kind.",
    401: "No token was sent, or a wrong one; a shared server takes personal tokens alone.",
    403: "The request came from another page, or without its session's form token; on a shared "
    "server also: its sender's role does not reach, or what it names is another person's.",
    404: "Something that was named, in the address or in the body, does not exist.",
    405: "The path cannot be asked with this method.",
    408: "The body came too slowly.",
    409: "It cannot be done as things stand: a run still computes, others were made from it, or a "
    "bundled set was to be deleted.",
    413: "The body is too large.",
    421: "The server was asked under a name that is not its own.",
    422: "A field has a value that it cannot have; each is named with what was expected.",
    429: "Too many wrong tokens came from this address, or a limit of the person is reached; "
    "Retry-After says how long to wait, where waiting helps.",
    503: "No worker answers, or the database does not; ask again after Retry-After, where given.",
}
"""What each status of a refusal means."""


class Problem(Contract):
    """One thing that is wrong."""

    field: str = Field(description="A dotted path into the spec, a parameter's name, or empty.")
    message: str = Field(description="A sentence that says what was expected.")


class Refusal(Contract):
    """What every refused request is answered with."""

    detail: list[Problem]


def statuses(path: str, method: str, has_parameters: bool) -> set[int]:
    """The statuses with which a request may be refused."""
    if path in PROBES:
        return {400, 405, 421, 503}
    found = {400, 401, 405, 421, 429, 503}
    if method != "get":
        found |= {403, 404, 408, 409, 413, 422}
    if has_parameters:
        found |= {422}
    if "{" in path:
        found |= {404}
    return found


def install(app: FastAPI) -> None:
    """Let the application describe itself so."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    # FastAPI's own way to change the description.
    app.openapi = describe  # type: ignore[method-assign]


def _described(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes
    )
    parts = found.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    schemas |= {"Spec": _named(TypeAdapter(Spec).json_schema(ref_template=REF), schemas)}
    schemas |= {"Refusal": _named(Refusal.model_json_schema(ref_template=REF), schemas)}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    found["servers"] = [{"url": app.state.settings.root_path or "/"}]
    words = "The token that the server prints at its start, or LETHE_TOKEN."
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": words}}
    found["security"] = [{"token": []}]
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                _named(content["schema"], schemas)
            _complete(path, method, operation)
    return found


def _named(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """A schema whose own definitions stand beside it."""
    for name, part in schema.pop("$defs", {}).items():
        schemas.setdefault(name, part)
    return schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    if path in PROBES:
        operation["security"] = []
    if path in SPEC_BODIES and method == "post":
        schema = {"$ref": REF.format(model="Spec")}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    answers = operation["responses"]
    answers.pop("422", None)
    body = {"application/json": {"schema": {"$ref": REF.format(model="Refusal")}}}
    for code in sorted(statuses(path, method, bool(operation.get("parameters")))):
        answers[str(code)] = {"description": SENTENCES[code], "content": body}

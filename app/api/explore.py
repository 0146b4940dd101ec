"""Explore: every view of a model and a prompt, answered at once and not queued."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from app.api._body import read_json
from app.backend import EngineDep
from app.submission import refuse_odd_text
from worker.contract.base import parse
from worker.contract.errors import UserError
from worker.contract.result import Result
from worker.contract.spec import ExploreSpec

router = APIRouter(prefix="/api/explore", tags=["explore"])
_SCHEMA = ExploreSpec.model_json_schema()
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        name: {"anyOf": [{"type": "string"}, {"type": "object"}]}
                        if name == "model"
                        else {k: v for k, v in part.items() if k != "default"}
                        for name, part in _SCHEMA["properties"].items()
                        if name not in ("kind", "view")
                    },
                }
            }
        },
    }
}


@router.post("/{view}", openapi_extra=_BODY)
async def explore(view: str, request: Request, engine: EngineDep) -> Result:
    """A view's answer with its arrays; the body holds `model`, `options`, `seed` and `dtype`."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise UserError("The body is no JSON object; expected model and options.", field="body")
    if twice := {"kind", "view"} & set(body):
        raise UserError(
            f"The body names {sorted(twice)[0]!r}, which the address says already; leave it out.",
            field=sorted(twice)[0],
        )
    refuse_odd_text(body)
    spec = parse(ExploreSpec, {"kind": "explore", "view": view, **body})
    return await run_in_threadpool(request.app.state.answers.ask, engine, spec)

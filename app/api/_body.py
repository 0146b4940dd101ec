"""Reads request bodies: JSON in words, and files on their way to the artifact store."""

import json
from typing import Annotated, Any, NoReturn

from fastapi import Header
from pydantic import BaseModel
from starlette.requests import Request

from app.openapi import REF
from worker.contract.errors import UserError
from worker.store.submissions import LONGEST_KEY

Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        description="Any text that is new for each submission, for example a UUID. What is sent "
        "again with it is queued no second time: the run that it made is given.",
        max_length=LONGEST_KEY,
    ),
]
"""The header that lets a script send a submission again when it got no answer."""


def gives(words: str, *media_types: str) -> dict[int | str, dict[str, Any]]:
    """What a route that gives a file is described with."""
    content: dict[str, Any] = {media_type: {"schema": {}} for media_type in media_types}
    return {200: {"description": words, "content": content}}


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """What a route that reads its JSON body by itself is described with."""
    schema = model.model_json_schema(ref_template=REF)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


async def read_json(request: Request) -> Any:
    """Parse a body as JSON; raise UserError that says where it is none."""
    body = await request.body()
    if not body:
        raise UserError("The body is empty; expected one JSON object.", field="body")
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise UserError(
            f"The body is not UTF-8 at byte {error.start}; expected JSON in UTF-8.", field="body"
        ) from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"The body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            field="body",
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"The body cannot be read as JSON: {error}.", field="body") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")

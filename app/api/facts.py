"""Fact sets: list, read by pages, upload, split, delete."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from app import knowledge, pending, submission, uploads
from app.api._body import read_json, takes
from app.backend import EngineDep, StoreDep
from app.projects import InProject, into
from worker.contract.base import Contract, parse
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.menu import FactSetInfo, RefusedRow, ToldRow
from worker.contract.records import RunRecord
from worker.contract.selection import select
from worker.contract.spec import ModelSpec
from worker.contract.tokens import FactTokens
from worker.store.store import Store

router = APIRouter(prefix="/api/facts", tags=["facts"])


class FactsPage(Contract):
    """Some facts of a set, and how many match in all."""

    set: FactSetInfo
    facts: tuple[Fact, ...]
    total: int


class Stored(Contract):
    """A fact set that was made of an upload, and the rows that were not understood."""

    set: FactSetInfo
    refused: tuple[RefusedRow, ...]
    told: tuple[ToldRow, ...]
    notes: tuple[str, ...]


class NewSplit(Contract):
    """A named split: the facts to forget, by the same words as in a spec."""

    name: str
    forget: str
    seed: int = 0


class Measure(Contract):
    """Which model is asked for every fact of a set."""

    model: ModelSpec = "demo"


@router.get("")
def list_sets(store: StoreDep) -> list[FactSetInfo]:
    """Every fact set, bundled or brought."""
    return store.fact_sets()


@router.post(
    "",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file", "name"],
                        "properties": {
                            "file": {"type": "string", "format": "binary"},
                            "name": {"type": "string"},
                            "description": {"type": "string"},
                            "mapping": {
                                "type": "string",
                                "description": "JSON: field of a fact -> column of the file.",
                            },
                        },
                    }
                }
            },
        }
    },
)
async def upload(request: Request, engine: EngineDep, project: InProject = None) -> Stored:
    """Store the facts of an uploaded file as a set, or nothing of it; `file_formats` of the menu
    are read."""
    form = await request.form(max_files=1, max_fields=10)
    mapping = _mapping(form.get("mapping"))
    engine = into(engine, project)
    received = await uploads.receive(engine.store, form.get("file"))
    name, description = str(form.get("name", "")), str(form.get("description", ""))
    try:
        found = await run_in_threadpool(uploads.read, engine, received, mapping)
        info = await run_in_threadpool(
            uploads.keep, engine, received, mapping, name, description, found
        )
    except UserError:
        pending.discard(engine.store, received)
        raise
    return Stored(set=info, refused=found.refused, told=found.told, notes=found.notes)


@router.get("/{name}")
def read(
    name: str,
    store: StoreDep,
    search: str = "",
    group: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> FactsPage:
    """A page of a set's facts, those that hold every word of `search`."""
    facts, total = store.facts_page(name, search=search, group=group, limit=limit, offset=offset)
    return FactsPage(set=set_info(store, name), facts=tuple(facts), total=total)


@router.post("/{name}/splits", status_code=201, openapi_extra=takes(NewSplit))
async def split(name: str, request: Request, store: StoreDep) -> FactSetInfo:
    """Save a named split; a JSON body with `name`, `forget` (as in a spec) and `seed`."""
    data = await read_json(request)
    submission.refuse_odd_text(data)
    new = parse(NewSplit, data)
    selection = select(await run_in_threadpool(store.fact_set, name), new.forget, new.seed)
    ids = [fact.id for fact in selection.forget]
    await run_in_threadpool(store.save_split, name, new.name, ids)
    return set_info(store, name)


@router.get("/{name}/tokens")
def tokens(name: str, engine: EngineDep, model: str = "demo") -> FactTokens:
    """Say how a model's tokenizer cuts the set's facts: what to mend, how many, with examples."""
    return knowledge.ask_tokens(engine, set_info(engine.store, name), model)


@router.post("/{name}/knowledge", status_code=202, openapi_extra=takes(Measure))
async def measure(name: str, request: Request, engine: EngineDep) -> RunRecord:
    """The run that measures what a model knows of the set; one for its weights and these facts.

    A JSON body with `model`, as in a spec.
    """
    data = await read_json(request)
    submission.refuse_odd_text(data)
    asked = parse(Measure, data)
    model = asked.model if isinstance(asked.model, str) else asked.model.model_dump(mode="json")
    info = await run_in_threadpool(set_info, engine.store, name)
    owner = request.state.session.identity.user
    run_id = await run_in_threadpool(knowledge.measure, engine, info, model, owner)
    return engine.store.run(run_id)


@router.delete("/{name}", status_code=204)
def delete(name: str, store: StoreDep) -> Response:
    """Delete a set that was brought; a bundled one stays."""
    store.delete_fact_set(name)
    return Response(status_code=204)


def set_info(store: Store, name: str) -> FactSetInfo:
    """What is known of one set; raises NotFound."""
    found = next((info for info in store.fact_sets() if info.name == name), None)
    if found is None:
        store.facts_page(name, limit=1)
    assert found is not None, "a page of a set that is not there raises NotFound"
    return found


def _mapping(text: Any) -> dict[str, str]:
    if not text:
        return {}
    try:
        mapping = json.loads(str(text))
    except (ValueError, RecursionError):
        mapping = None
    if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
        raise UserError(
            f"mapping is {str(text)[:60]!r}; expected a JSON object, a fact's field -> a column.",
            field="mapping",
        )
    return mapping

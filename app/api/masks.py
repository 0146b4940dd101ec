"""Masks: list, read, save a new version, delete."""

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from app import submission
from app.api._body import read_json, takes
from app.backend import EngineDep, StoreDep
from app.projects import InProject, into
from worker.contract.base import Contract, parse
from worker.contract.choose import mask_of
from worker.contract.records import MaskRecord
from worker.engine.announced import announced
from worker.engine.client import Engine
from worker.engine.resolve import model_info

router = APIRouter(prefix="/api/masks", tags=["masks"])


class NewMask(Contract):
    """A mask to be saved; a name that exists gets a new version."""

    name: str = Field(min_length=1, max_length=200)
    model: str = "demo"
    components: tuple[str, ...]
    source: str = Field("", max_length=2000)
    localization: str | None = None


@router.get("")
def list_masks(store: StoreDep, model: str | None = None) -> list[MaskRecord]:
    """Every stored mask, or those of one model."""
    return store.masks(model)


@router.post("", status_code=201, openapi_extra=takes(NewMask))
async def save(request: Request, engine: EngineDep, project: InProject = None) -> MaskRecord:
    """Save a mask under a name, as a new version of it."""
    data = await read_json(request)
    submission.refuse_odd_text(data)
    return await run_in_threadpool(_save, into(engine, project), parse(NewMask, data))


@router.get("/{mask_id}")
def read(mask_id: str, store: StoreDep) -> MaskRecord:
    """One mask."""
    return store.mask(mask_id)


@router.delete("/{mask_id}", status_code=204)
def delete(mask_id: str, store: StoreDep) -> Response:
    """Delete one version of a mask."""
    store.delete_mask(mask_id)
    return Response(status_code=204)


def _save(engine: Engine, new: NewMask) -> MaskRecord:
    store = engine.store
    announcement = announced(store)
    if new.localization is not None:
        store.run(new.localization)
    parameters = model_info(new.model, announcement).component_parameters
    mask = mask_of(list(new.components), parameters, new.source)
    return store.save_mask(new.name, new.model, mask, localization=new.localization)

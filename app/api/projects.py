"""Projects of a shared server: list, make, change, take people in and let them go."""

from fastapi import APIRouter, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from app.api._body import read_json, takes
from app.backend import StoreDep
from worker.contract.base import Contract, parse
from worker.contract.projects import LONGEST_TITLE, Project, ProjectRole

SHARED = True
router = APIRouter(prefix="/api/projects", tags=["projects"])


class NewProject(Contract):
    """A project to be made; whoever makes it owns it."""

    title: str = Field(max_length=4 * LONGEST_TITLE)


class Change(Contract):
    """What is to be another of a project; null leaves it."""

    title: str | None = Field(None, max_length=4 * LONGEST_TITLE)
    archived: bool | None = None


class Membership(Contract):
    """What a person is in a project."""

    role: ProjectRole = "member"


@router.get("")
def list_projects(store: StoreDep) -> list[Project]:
    """Every project that you are in, an admin's all, with their members."""
    return store.projects()


@router.post("", status_code=201, openapi_extra=takes(NewProject))
async def make(request: Request, store: StoreDep) -> Project:
    """Make a project of your own."""
    new = parse(NewProject, await read_json(request))
    return await run_in_threadpool(store.make_project, new.title)


@router.get("/{id}")
def read(id: str, store: StoreDep) -> Project:
    """One project with its members; its runs are `GET /api/runs?project=ID`."""
    return store.project(id)


@router.post("/{id}", openapi_extra=takes(Change))
async def change(id: str, request: Request, store: StoreDep) -> Project:
    """Give it another title, archive it or take it out of the archive."""
    new = parse(Change, await read_json(request))
    return await run_in_threadpool(
        lambda: store.change_project(id, title=new.title, archived=new.archived)
    )


@router.put("/{id}/members/{person}", openapi_extra=takes(Membership))
async def set_member(id: str, person: str, request: Request, store: StoreDep) -> Project:
    """Take a person in, or give a member another role: viewer, member or owner."""
    new = parse(Membership, await read_json(request))
    return await run_in_threadpool(store.set_member, id, person, new.role)


@router.delete("/{id}/members/{person}", status_code=204)
def remove_member(id: str, person: str, store: StoreDep) -> Response:
    """Let a member go, or leave: what they made stays theirs, and the project sees it on."""
    store.remove_member(id, person)
    return Response(status_code=204)

"""The project that a form or a script chooses for what it makes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query

from worker.engine.client import Engine
from worker.store.store import Store

FIELD = "project"
InProject = Annotated[
    str | None,
    Query(
        description="On a shared server, the id of the project that it goes into and whose members "
        "see it; empty: it is private. Without it, what is made of a project's runs goes there, "
        "and all else is private.",
        max_length=64,
    ),
]
"""The parameter of a script's submission."""


def within(engine: Engine, form: Mapping[str, Any]) -> Engine:
    """An engine for what is made in a form's project; the same where the form asked for none."""
    given = form.get(FIELD)
    return into(engine, given if isinstance(given, str) else None)


def into(engine: Engine, project: str | None) -> Engine:
    """An engine for what is made in a project; the same for None, where nobody chose one."""
    if project is None:
        return engine
    acting = replace(engine.store.acting, project=project[:64])
    return engine.of_session(engine.session, acting)


def store_within(store: Store, project: Any) -> Store:
    """A store for what is brought into a chosen project; the same where none was asked."""
    if not isinstance(project, str):
        return store
    return store.acting_for(replace(store.acting, project=project[:64]))


def choices(store: Store) -> list[tuple[str, str]]:
    """What a form offers: only me, and each project to which its reader adds; none without one."""
    found = store.projects_to_add_to()
    return [("", "Only me"), *((one.id, one.title) for one in found)] if found else []

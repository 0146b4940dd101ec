"""Where what is made goes: into which project, and who may see it at first.

1. On a server of one reader, and for what nobody made: no project, visible to the server.
2. Into the project that was chosen, visible to it.
3. What a guest makes goes into the class's project, whatever was chosen.
4. Without a choice, what is made of a project's runs alone goes where they are.
5. Else it is private.

What a worker makes for a study goes where the study is.
"""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.contract.errors import Forbidden, NotFound
from worker.store.acting import NOBODY, Acting
from worker.store.class_tables import ClassRow, GuestRow
from worker.store.project_tables import MemberRow, ProjectRow
from worker.store.tables import Run

OPEN = {"project": "", "visibility": "server"}
MAY_ADD = ("member", "owner")
"""The roles in a project that add to it what they make."""


def placed(session: Session, parents: Sequence[str] = (), owner: str = "") -> dict[str, str]:
    """The columns `project` and `visibility` of something new; NotFound for no project of theirs.

    It is made by whom the session acts for; `owner` is for whom a worker makes it.
    """
    acting: Acting = session.info["acting"] or NOBODY
    if acting.is_guest:
        return _within(may_add_to(session, acting, _of_guest(session, acting.person)))
    if acting.project:
        return _within(may_add_to(session, acting, acting.project))
    if not acting.person:
        return _as_study(session, parents) if owner and parents else OPEN
    project = _project_of(session, parents) if acting.project is None else ""
    if project and _may_add(session, acting, project):
        return _within(project)
    return {"project": "", "visibility": "private"}


def may_add_to(session: Session, acting: Acting, project: str) -> str:
    """The id of a project to which somebody may add; NotFound, Forbidden for a viewer of it."""
    row = session.get(ProjectRow, project)
    if row is None:
        raise no_project(project)
    if row.archived:
        raise Forbidden(
            f"The project {row.title!r} is archived, so nothing is added to it; expected one in "
            f"use. Its owner can take it out of the archive.",
            field="project",
        )
    if not _may_add(session, acting, project):
        raise Forbidden(
            f"You are a viewer of the project {row.title!r}; members add to it. Ask an owner of "
            f"the project.",
            field="project",
        )
    return project


def no_project(id: str) -> NotFound:
    """What is said of a project that is not there, or that may not be seen."""
    return NotFound(
        f"There is no project {id[:40]!r}; expected the id of one that you are in.", field="project"
    )


def _of_guest(session: Session, person: str) -> str:
    """The project of a guest's class; Forbidden where they are let go, or the class has ended."""
    query = select(ClassRow.project).join(GuestRow, GuestRow.class_id == ClassRow.id)
    found = session.scalar(query.where(GuestRow.person == person, ClassRow.ended.is_(None)))
    if found is None:
        raise Forbidden("Your class has ended, or let you go, so you make nothing more in it.")
    return found


def _may_add(session: Session, acting: Acting, project: str) -> bool:
    if acting.may_all:
        return True
    row = session.get(MemberRow, (project, acting.person))
    in_use = session.scalar(select(ProjectRow.archived).where(ProjectRow.id == project)) is False
    return in_use and row is not None and row.role in MAY_ADD


def _project_of(session: Session, parents: Sequence[str]) -> str:
    """The one project in which all these runs are; empty where there is no such."""
    if not parents:
        return ""
    query = select(Run.project, Run.visibility).where(Run.id.in_(set(parents))).distinct()
    found = session.execute(query).all()
    return found[0].project if len(found) == 1 and found[0].visibility != "private" else ""


def _as_study(session: Session, parents: Sequence[str]) -> dict[str, str]:
    study = session.get(Run, parents[0])
    if study is None:
        return OPEN
    return {"project": study.project, "visibility": study.visibility}


def _within(project: str) -> dict[str, str]:
    return {"project": project, "visibility": "project"}

"""Projects and their members. Whoever makes one owns it; owners and admins change it."""

import secrets

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worker.contract.errors import Conflict, Forbidden, NotFound
from worker.contract.projects import Member, Project, ProjectRole, project_role_of, project_title
from worker.store.acting import Acting
from worker.store.database import Database
from worker.store.people_tables import PersonRow
from worker.store.placing import MAY_ADD, no_project
from worker.store.project_tables import MemberRow, ProjectRow
from worker.store.tables import database_time, moment


class ProjectStore:
    """Projects, by id."""

    database: Database
    acting: Acting

    def projects(self) -> list[Project]:
        """Every project that may be seen with its members, the archived last, then by title."""
        order = ProjectRow.archived, func.lower(ProjectRow.title), ProjectRow.id
        with self.database.read() as session:
            rows = session.scalars(select(ProjectRow).order_by(*order)).all()
            members: dict[str, list[Member]] = {row.id: [] for row in rows}
            for one in session.scalars(select(MemberRow).order_by(MemberRow.person)):
                members[one.project_id].append(_member(one))
            return [_project(row, members[row.id]) for row in rows]

    def projects_to_add_to(self) -> list[Project]:
        """The projects in use into which whoever acts puts what they make."""
        who = self.acting.person
        mine = (one for one in self.projects() if not one.archived) if who else ()
        return [one for one in mine if one.role_of(who) in MAY_ADD]

    def project(self, id: str) -> Project:
        """One project; raises NotFound."""
        with self.database.read() as session:
            return _read(session, id)

    def make_project(self, title: str, owner: str = "") -> Project:
        """Make a project, whose owner is who acts; NotFound for an `owner` who is nobody."""
        kept, maker = project_title(title), owner or self.acting.person
        with self.database.write() as session:
            id, created = insert_project(session, kept, maker)
        self.acting.tell(f"project {id} ({kept})")
        return Project(
            id=id,
            title=kept,
            made_by=maker,
            created=moment(created),
            members=(Member(person=maker, role="owner"),),
        )

    def change_project(
        self, id: str, *, title: str | None = None, archived: bool | None = None
    ) -> Project:
        """Give a project another title, put it into the archive or take it out."""
        kept = None if title is None else project_title(title)
        with self.database.write() as session:
            row = self._own(session, id)
            row.title = row.title if kept is None else kept
            row.archived = row.archived if archived is None else archived
            session.flush()
            changed = _read(session, id)
        words = "" if archived is None else ": archived" if archived else ": in use"
        self.acting.tell(f"project {id} ({changed.title}){words}")
        return changed

    def set_member(self, id: str, person: str, role: str) -> Project:
        """Take a person in, or give a member another role; a project keeps an owner."""
        given, person = project_role_of(role), person.strip().lower()
        with self.database.write() as session:
            row = self._own(session, id)
            _check_person(session, person)
            member = session.get(MemberRow, (id, person))
            if member is None:
                session.add(MemberRow(project_id=id, person=person, role=given))
            else:
                self._keep_an_owner(session, member, given)
                member.role = given
            session.flush()
            changed = _read(session, id)
        self.acting.tell(f"project {id} ({row.title}): {person} as {given}")
        return changed

    def remove_member(self, id: str, person: str) -> None:
        """Let a member see the project's runs no longer: an owner says so, or they leave."""
        is_own = bool(person) and person == self.acting.person
        with self.database.write() as session:
            row = session.get(ProjectRow, id) if is_own else self._own(session, id)
            member = session.get(MemberRow, (id, person))
            if row is None:
                raise no_project(id)
            if member is None:
                raise NotFound(f"{person[:50]!r} is no member of the project {row.title!r}.")
            self._keep_an_owner(session, member, None)
            session.delete(member)
        self.acting.tell(f"project {id} ({row.title}): {person} out")

    def _own(self, session: Session, id: str) -> ProjectRow:
        """A project that whoever acts may change; NotFound, or Forbidden for who only sees it."""
        row = session.get(ProjectRow, id)
        if row is None:
            raise no_project(id)
        member = session.get(MemberRow, (id, self.acting.person))
        if not self.acting.may_all and (member is None or member.role != "owner"):
            raise Forbidden(
                f"Only its owners and admins change the project {row.title!r}; you are a "
                f"{member.role if member else 'stranger'} of it."
            )
        return row

    def _keep_an_owner(self, session: Session, member: MemberRow, role: ProjectRole | None) -> None:
        """Raise Conflict where nobody would be left to change the project."""
        self.database.lock(session, f"project {member.project_id}")
        owners = select(func.count()).where(
            MemberRow.project_id == member.project_id,
            MemberRow.role == "owner",
            MemberRow.person != member.person,
        )
        if member.role == "owner" and role != "owner" and not session.scalar(owners):
            raise Conflict(
                f"{member.person!r} is the project's only owner; make another member owner first, "
                f"or archive the project."
            )


def insert_project(session: Session, title: str, owner: str) -> tuple[str, float]:
    """Write a project with its owner: its id, and when it was made; NotFound for nobody."""
    _check_person(session, owner)
    id, created = secrets.token_hex(6), session.scalar(select(database_time())) or 0.0
    session.add(ProjectRow(id=id, title=title, made_by=owner, created=created))
    session.flush()
    session.add(MemberRow(project_id=id, person=owner, role="owner"))
    return id, created


def _read(session: Session, id: str) -> Project:
    row = session.get(ProjectRow, id)
    if row is None:
        raise no_project(id)
    members = select(MemberRow).where(MemberRow.project_id == id).order_by(MemberRow.person)
    return _project(row, [_member(one) for one in session.scalars(members)])


def _check_person(session: Session, name: str) -> None:
    """Raise NotFound for who has no account, without a word on who has one; a guest has none."""
    row = session.get(PersonRow, name)
    if row is None or row.role == "guest":
        raise NotFound(
            f"There is no person {name[:50]!r} on this server; expected a name as it is signed in "
            f"with.",
            field="person",
        )


def _member(row: MemberRow) -> Member:
    return Member(person=row.person, role=project_role_of(row.role))


def _project(row: ProjectRow, members: list[Member]) -> Project:
    return Project(
        id=row.id,
        title=row.title,
        made_by=row.made_by,
        archived=row.archived,
        created=moment(row.created),
        members=tuple(members),
    )

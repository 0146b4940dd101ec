"""Classes as their teachers have them: whoever owns a class's project teaches it."""

import secrets
from collections.abc import Iterable, Sequence

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session

from worker.contract.classes import Class, Guest
from worker.contract.errors import Conflict, Forbidden, NotFound
from worker.contract.limits import Limits
from worker.contract.projects import project_title
from worker.store import secret_hash
from worker.store.acting import Acting
from worker.store.class_tables import ClassRow, GuestRow
from worker.store.database import Database
from worker.store.people_tables import LimitsRow, PersonRow, SignInRow
from worker.store.project_tables import MemberRow, ProjectRow
from worker.store.projects import insert_project
from worker.store.sight import WHOLE
from worker.store.tables import Run, database_time, moment
from worker.store.turns import WAITS


class ClassStore:
    """Classes, by id."""

    database: Database
    acting: Acting

    def classes(self) -> list[Class]:
        """Every class that may be seen, those that have ended last, then the newest first."""
        order = ClassRow.ended.is_not(None), ClassRow.created.desc(), ClassRow.id
        with self.database.read() as session:
            rows = session.scalars(select(ClassRow).order_by(*order)).all()
            return [class_of(session, row) for row in rows]

    def one_class(self, id: str) -> Class:
        """One class; raises NotFound."""
        with self.database.read() as session:
            return class_of(session, _row(session, id))

    def teaches(self, id: str) -> bool:
        """Whether whoever acts may change a class, and see its link and its guests' answers."""
        with self.database.read() as session:
            return self._is_teacher(session, _row(session, id))

    def taught(self) -> list[Guest]:
        """The guests of every class that whoever acts teaches."""
        mine = (found.id for found in self.classes() if self.teaches(found.id))
        return [guest for id in mine for guest in self.guests(id)]

    def make_class(
        self,
        title: str,
        model: str,
        methods: Sequence[str],
        *,
        seats: int,
        lasts: float,
        limits: Limits,
    ) -> tuple[Class, str]:
        """Make a class with a project of its own; it, and the secret that its join link holds.

        The link holds for `lasts` seconds. Whoever acts is the teacher; NotFound for nobody.
        """
        kept, maker = project_title(title, "class"), self.acting.person
        secret, link = secret_hash.draw()
        with self.database.write() as session:
            project, now = insert_project(session, kept, maker)
            row = ClassRow(id=secrets.token_hex(6), title=kept, project=project, made_by=maker)
            row.model, row.methods, row.seats = model, list(methods), seats
            row.link, row.link_expires, row.created = link, now + lasts, now
            _limit(row, limits)
            session.add(row)
            session.flush()
            made = class_of(session, row)
        self.acting.tell(f"class {made.id} ({kept})")
        return made, secret

    def change_class(
        self, id: str, model: str, methods: Sequence[str], *, seats: int, limits: Limits
    ) -> Class:
        """Give a class other rules, in force for its guests at once."""
        with self.database.write() as session:
            row = self._in_use(session, id)
            row.model, row.methods, row.seats = model, list(methods), seats
            _limit(row, limits)
            session.flush()
            for person in session.scalars(_people(id), execution_options=WHOLE).all():
                limit_guest(session, person, limits)
            changed = class_of(session, row)
        self.acting.tell(f"class {id} ({changed.title})")
        return changed

    def renew_link(self, id: str, lasts: float) -> str:
        """Make another join link, which ends the one before; the secret that it holds."""
        secret, link = secret_hash.draw()
        with self.database.write() as session:
            row = self._in_use(session, id)
            now = session.scalar(select(database_time())) or 0.0
            row.link, row.link_expires = link, now + lasts
        self.acting.tell(f"class {id} ({row.title}): another link")
        return secret

    def revoke_link(self, id: str) -> None:
        """Let nobody else come in; who is in stays."""
        with self.database.write() as session:
            row = self._in_use(session, id)
            row.link = ""
        self.acting.tell(f"class {id} ({row.title}): no link")

    def guests(self, id: str) -> list[Guest]:
        """Everybody who came by the link, by name."""
        query = (
            select(GuestRow, PersonRow.disabled)
            .join(PersonRow, PersonRow.name == GuestRow.person)
            .where(GuestRow.class_id == id)
            .order_by(func.lower(GuestRow.name), GuestRow.person)
        )
        with self.database.read() as session:
            return [
                Guest(person=row.person, name=row.name, joined=moment(row.joined), is_out=is_out)
                for row, is_out in session.execute(query)
            ]

    def remove_guest(self, id: str, person: str) -> None:
        """Let a guest go, who frees a seat and a name; what they made stays in the class."""
        with self.database.write() as session:
            row = self._in_use(session, id)
            guest = session.get(GuestRow, person)
            if guest is None or guest.class_id != id:
                raise NotFound(f"{person[:50]!r} is no guest of the class {row.title!r}.")
            let_go(session, [person])
            session.execute(
                delete(MemberRow).where(
                    MemberRow.project_id == row.project, MemberRow.person == person
                ),
                execution_options=WHOLE,
            )
        self.acting.tell(f"class {id} ({row.title}): {guest.name} ({person}) out")

    def end_class(self, id: str) -> list[str]:
        """End a class: no link, no guest signed in, its runs and project archived.

        Gives its runs that still wait, which `Engine.end_class` cancels. Once more does no harm.
        """
        with self.database.write() as session:
            row = self._taught(session, id)
            now = session.scalar(select(database_time())) or 0.0
            row.ended, row.link = row.ended or now, ""
            let_go(session, session.scalars(_people(id), execution_options=WHOLE).all())
            session.get_one(ProjectRow, row.project).archived = True
            whole = {**WHOLE, "synchronize_session": False}
            within = Run.project == row.project
            session.execute(
                update(Run).where(within).values(archived=True), execution_options=whole
            )
            waits = select(Run.id).where(within, Run.state.in_(WAITS))
            waiting = list(session.scalars(waits, execution_options=WHOLE))
        self.acting.tell(f"class {id} ({row.title}): ended")
        return waiting

    def runs_of_guests(self, id: str) -> dict[str, int]:
        """How many runs each guest of a class made that are there."""
        query = (
            select(Run.owner, func.count().label("n"))
            .where(Run.owner.in_(_people(id)))
            .group_by(Run.owner)
        )
        with self.database.read() as session:
            return {row.owner: row.n for row in session.execute(query)}

    def _in_use(self, session: Session, id: str) -> ClassRow:
        """A class of theirs that has not ended."""
        row = self._taught(session, id)
        if row.ended is not None:
            raise Conflict(f"The class {row.title!r} has ended; make another one.")
        return row

    def _taught(self, session: Session, id: str) -> ClassRow:
        row = _row(session, id, is_changed=True)
        if not self._is_teacher(session, row):
            raise Forbidden(
                f"Only its teachers and admins change the class {row.title!r}; expected an owner "
                f"of its project."
            )
        return row

    def _is_teacher(self, session: Session, row: ClassRow) -> bool:
        member = session.get(MemberRow, (row.project, self.acting.person))
        return self.acting.may_all or (member is not None and member.role == "owner")


def class_of(session: Session, row: ClassRow) -> Class:
    """A row as pages show it, with the seats that are taken, whoever looks."""
    taken = (
        select(func.count())
        .select_from(GuestRow)
        .join(PersonRow, PersonRow.name == GuestRow.person)
        .where(GuestRow.class_id == row.id, PersonRow.disabled.is_(False))
    )
    return Class(
        id=row.id,
        title=row.title,
        project=row.project,
        made_by=row.made_by,
        model=row.model,
        methods=tuple(row.methods),
        seats=row.seats,
        limits=Limits(**{name: getattr(row, name) for name in Limits.model_fields}),
        link_expires=moment(row.link_expires) if row.link else None,
        created=moment(row.created),
        ended=None if row.ended is None else moment(row.ended),
        taken=session.scalar(taken, execution_options=WHOLE) or 0,
    )


def limit_guest(session: Session, person: str, limits: Limits) -> None:
    """Let a class's limits be a guest's own."""
    session.execute(delete(LimitsRow).where(LimitsRow.person == person))
    if limits != Limits():
        session.add(LimitsRow(person=person, **limits.model_dump()))


def _limit(row: ClassRow, limits: Limits) -> None:
    for name, value in limits.model_dump().items():
        setattr(row, name, value)


def _row(session: Session, id: str, *, is_changed: bool = False) -> ClassRow:
    """A class's row, which nobody else changes meanwhile where it is changed."""
    row = session.get(ClassRow, id, with_for_update=is_changed)
    if row is None:
        raise NotFound(f"There is no class {id[:40]!r}; expected the id of one that you are in.")
    return row


def _people(id: str) -> Select[str]:
    return select(GuestRow.person).where(GuestRow.class_id == id)


def let_go(session: Session, people: Iterable[str]) -> None:
    """End the sessions of guests for good: they have no password to come back with."""
    names = list(people)
    session.execute(update(PersonRow).where(PersonRow.name.in_(names)).values(disabled=True))
    session.execute(delete(SignInRow).where(SignInRow.person.in_(names)))

"""Runs as the pages and the API see them: made, listed, tagged, cancelled, deleted."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from worker.contract.errors import NotFound, UserError
from worker.contract.progress import FINAL_STATES, Event
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.contract.spec import Spec
from worker.store.artifacts import Artifacts
from worker.store.attempts import add_events, end_run
from worker.store.database import Database
from worker.store.describe import parents_of, search_text, title_of
from worker.store.tables import Run, RunEvent, RunParent, RunResult, RunTag, database_time


class RunStore:
    """The pages' side of `runs`."""

    database: Database
    artifacts: Artifacts

    def run(self, id: str) -> RunRecord:
        """One run; raises NotFound."""
        with self.database.read() as session:
            found = _records(session, select(Run).where(Run.id == id))
        if not found:
            raise _no_run(id)
        return found[0]

    def runs(
        self,
        *,
        kind: str | None = None,
        state: str | None = None,
        model: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        search: str | None = None,
        starred: bool | None = None,
        archived: bool | None = False,
        limit: int = 50,
        offset: int = 0,
    ) -> list[RunRecord]:
        """Runs that match every given filter, newest first. `archived=None` lists both."""
        matching = _matching(kind, state, model, owner, tag, search, starred, archived)
        newest = select(Run).where(*matching).order_by(Run.created.desc(), Run.id.desc())
        with self.database.read() as session:
            return _records(session, newest.limit(limit).offset(offset))

    def count_runs(
        self,
        *,
        kind: str | None = None,
        state: str | None = None,
        model: str | None = None,
        owner: str | None = None,
        tag: str | None = None,
        search: str | None = None,
        starred: bool | None = None,
        archived: bool | None = False,
    ) -> int:
        """How many runs match."""
        matching = _matching(kind, state, model, owner, tag, search, starred, archived)
        with self.database.read() as session:
            return session.scalar(select(func.count()).select_from(Run).where(*matching)) or 0

    def update_run(
        self,
        id: str,
        *,
        title: str | None = None,
        tags: Iterable[str] | None = None,
        starred: bool | None = None,
        archived: bool | None = None,
    ) -> RunRecord:
        """Change what a reader may change of a run; None leaves it as it is."""
        given = {"title": title, "starred": starred, "archived": archived}
        values = {name: value for name, value in given.items() if value is not None}
        with self.database.write() as session:
            row = session.get(Run, id)
            if row is None:
                raise _no_run(id)
            for name, value in values.items():
                setattr(row, name, value)
            row.search = search_text(id, row.title, row.spec)
            if tags is not None:
                _set_tags(session, id, tags)
        return self.run(id)

    def delete_run(self, id: str) -> None:
        """Delete a finished run with its files; refused while other runs descend from it."""
        record = self.run(id)
        if record.state not in FINAL_STATES:
            raise UserError(f"Run {id} is {record.state}; cancel it before it is deleted.")
        try:
            with self.database.write() as session:
                session.execute(delete(Run).where(Run.id == id))
        except IntegrityError:
            heirs = ", ".join(child.id for child in self.children(id)[:5])
            raise UserError(
                f"Run {id} cannot be deleted: {heirs} was made from it. Delete that first, "
                f"or archive the run."
            ) from None
        self.artifacts.delete_tree(f"runs/{id}")

    def result(self, id: str) -> Result | None:
        """A run's result; None when it has none yet. Raises NotFound."""
        with self.database.read() as session:
            body = session.scalar(select(RunResult.body).where(RunResult.run_id == id))
        if body is not None:
            return Result.model_validate(body)
        self.run(id)
        return None

    def log(self, id: str) -> list[str]:
        """The lines of a run's log, oldest first."""
        lines = (
            select(RunEvent.body)
            .where(RunEvent.run_id == id, RunEvent.type == "log")
            .order_by(RunEvent.offset)
        )
        with self.database.read() as session:
            bodies = list(session.scalars(lines))
        if not bodies:
            self.run(id)
        return [str(body.get("message", "")) for body in bodies]

    def children(self, id: str) -> list[RunRecord]:
        """Runs that were made from this one, oldest first."""
        ids = select(RunParent.run_id).where(RunParent.parent_id == id)
        with self.database.read() as session:
            return _records(session, select(Run).where(Run.id.in_(ids)).order_by(Run.created))

    def events(self, id: str, after: int = -1, limit: int = 1000) -> list[tuple[int, Event]]:
        """A run's events with an offset greater than `after`, in order."""
        newer = (
            select(RunEvent.offset, RunEvent.body)
            .where(RunEvent.run_id == id, RunEvent.offset > after)
            .order_by(RunEvent.offset)
            .limit(limit)
        )
        with self.database.read() as session:
            rows = session.execute(newer).all()
        if not rows:
            self.run(id)
        return [(row.offset, Event.model_validate(row.body)) for row in rows]

    def event_counts(self, ids: Iterable[str]) -> dict[str, int]:
        """How many events each of these runs has; a deleted run is absent."""
        counts = select(Run.id, Run.n_events).where(Run.id.in_(list(ids)))
        with self.database.read() as session:
            return {row.id: row.n_events for row in session.execute(counts)}

    def request_cancel(self, id: str, is_alive: ColumnElement[bool]) -> RunRecord:
        """Ask a run to stop. A run that no live worker computes is cancelled here and now.

        `is_alive`: a condition on Run.worker. The attempt is raised, so that a worker that was
        only silent cannot write the run any more.
        """
        nobody = or_(Run.state.in_(("queued", "interrupted")), ~is_alive)
        with self.database.write() as session:
            open_run = and_(Run.id == id, Run.state.not_in(FINAL_STATES))
            asked = update(Run).where(open_run).values(cancel_requested=database_time())
            session.execute(asked)
            ended = session.execute(
                update(Run)
                .where(open_run, nobody)
                .values(attempt=Run.attempt + 1)
                .returning(Run.id),
                execution_options={"synchronize_session": False},
            ).first()
            if ended is not None:
                end_run(session, id, "cancelled", "Cancelled before it was computed.")
        return self.run(id)


def insert_run(
    session: Session,
    spec: Spec,
    *,
    owner: str,
    title: str,
    tags: Sequence[str],
    parents: Sequence[str] | None,
    priority: int,
) -> str:
    """Write a queued run, its lineage and its first event; UserError when a parent is missing."""
    id = secrets.token_hex(6)
    body = spec.model_dump(mode="json")
    title = title or title_of(spec)
    session.execute(
        insert(Run).values(
            id=id,
            kind=spec.kind,
            title=title,
            spec=body,
            model=spec.base,
            search=search_text(id, title, body),
            state="queued",
            owner=owner,
            priority=priority,
            created=database_time(),
        )
    )
    _set_parents(session, id, parents_of(spec) if parents is None else parents)
    _set_tags(session, id, tags)
    add_events(session, id, [Event(type="state", state="queued")])
    return id


def _set_parents(session: Session, id: str, parents: Sequence[str]) -> None:
    known = set(session.scalars(select(Run.id).where(Run.id.in_(parents)))) if parents else set()
    for position, parent in enumerate(dict.fromkeys(parents)):
        if parent not in known:
            raise UserError(
                f"There is no run {parent!r} to build on; expected the id of a finished run.",
                field="model.edits" if position == 0 else "",
            )
        session.add(RunParent(run_id=id, position=position, parent_id=parent))


def _set_tags(session: Session, id: str, tags: Iterable[str]) -> None:
    session.execute(delete(RunTag).where(RunTag.run_id == id))
    session.add_all(RunTag(run_id=id, tag=t) for t in dict.fromkeys(filter(None, map(_tag, tags))))


def _tag(tag: str) -> str:
    return tag.strip()[:100]


def _matching(
    kind: str | None,
    state: str | None,
    model: str | None,
    owner: str | None,
    tag: str | None,
    search: str | None,
    starred: bool | None,
    archived: bool | None,
) -> list[ColumnElement[bool]]:
    columns: dict[Any, Any] = {Run.kind: kind, Run.state: state, Run.model: model}
    columns |= {Run.owner: owner, Run.starred: starred, Run.archived: archived}
    matching = [column == value for column, value in columns.items() if value is not None]
    if tag:
        matching.append(Run.id.in_(select(RunTag.run_id).where(RunTag.tag == tag)))
    if search:
        matching += [Run.search.contains(w, autoescape=True) for w in search.casefold().split()]
    return matching


def _records(session: Session, query: Select[Run]) -> list[RunRecord]:
    other = aliased(Run)
    before = or_(
        other.priority < Run.priority,
        and_(other.priority == Run.priority, other.created < Run.created),
    )
    ahead = (
        select(func.count())
        .select_from(other)
        .where(other.state == "queued", Run.state == literal("queued", String), before)
        .where((other.kind == "study") == (Run.kind == "study"))
        .correlate(Run)
        .scalar_subquery()
    )
    rows = session.execute(query.add_columns(ahead)).all()
    ids = [run.id for run, _ in rows]
    tags: dict[str, list[str]] = {id: [] for id in ids}
    parents: dict[str, list[str]] = {id: [] for id in ids}
    for tag in session.scalars(select(RunTag).where(RunTag.run_id.in_(ids)).order_by(RunTag.tag)):
        tags[tag.run_id].append(tag.tag)
    lineage = select(RunParent).where(RunParent.run_id.in_(ids)).order_by(RunParent.position)
    for link in session.scalars(lineage):
        parents[link.run_id].append(link.parent_id)
    return [_record(run, ahead, tags[run.id], parents[run.id]) for run, ahead in rows]


def _record(run: Run, ahead: int, tags: list[str], parents: list[str]) -> RunRecord:
    names = set(RunRecord.model_fields) - {"created", "started", "finished", "ahead"}
    plain = {name: getattr(run, name) for name in names - {"tags", "parents"}}
    return RunRecord(
        **plain,
        created=moment(run.created),
        started=None if run.started is None else moment(run.started),
        finished=None if run.finished is None else moment(run.finished),
        ahead=ahead,
        tags=tuple(tags),
        parents=tuple(parents),
    )


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as an aware datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _no_run(id: str) -> NotFound:
    return NotFound(f"There is no run {id!r}; it may have been deleted.")

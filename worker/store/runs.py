"""Runs as the pages and the API see them: made, listed, tagged, cancelled, deleted."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Unpack

from sqlalchemy import (
    ColumnElement,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from worker.contract.errors import Conflict, NotFound, UserError
from worker.contract.progress import FINAL_STATES, Event
from worker.contract.records import RunRecord
from worker.contract.result import Receipt, Result
from worker.contract.spec import Spec
from worker.store.acting import Acting
from worker.store.artifacts import Artifacts
from worker.store.attempts import add_events, end_run
from worker.store.database import Database
from worker.store.describe import parents_of, search_text, title_of
from worker.store.listing import RunFilter, newest, newest_first, records
from worker.store.menus import Menus
from worker.store.paging import Place, RunsPage, read_page
from worker.store.placing import placed
from worker.store.results import Results
from worker.store.tables import Run, RunEvent, RunParent, RunResult, RunTag, database_time
from worker.store.turns import WAITS


class RunStore:
    """The pages' side of `runs`."""

    database: Database
    artifacts: Artifacts
    announced: Menus
    known_results: Results
    acting: Acting

    def run(self, id: str) -> RunRecord:
        """One run; raises NotFound."""
        with self.database.read() as session:
            found = records(session, select(Run).where(Run.id == id), self.announced)
        if not found:
            raise _no_run(id)
        return found[0]

    def runs(self, *, limit: int = 50, **which: Unpack[RunFilter]) -> list[RunRecord]:
        """Runs that match every given filter, newest first."""
        with self.database.read() as session:
            return records(session, newest(which, limit), self.announced)

    def queue(self, most: int = 200) -> list[RunRecord]:
        """The runs that wait, in the order of their turns; those that were begun before come
        first."""
        with self.database.read() as session:
            found = select(Run).where(Run.state.in_(WAITS)).order_by(Run.priority, Run.created)
            waits = records(session, found.limit(most), self.announced)
        return sorted(waits, key=lambda run: (run.state == "queued", run.ahead, run.created))

    def runs_page(
        self,
        *,
        limit: int,
        counted: int,
        after: Place | None = None,
        before: Place | None = None,
        **which: Unpack[RunFilter],
    ) -> RunsPage:
        """A page of the runs that match, from a place on or up to one; see `read_page`."""
        given = {"limit": limit, "counted": counted}
        with self.database.read() as session:
            return read_page(session, which, self.announced, **given, after=after, before=before)

    def count_runs(self, most: int | None = None, **which: Unpack[RunFilter]) -> int:
        """How many runs match; with `most`, at least that many where it is the answer."""
        count = select(func.count()).select_from(newest_first(which, most).subquery())
        with self.database.read() as session:
            return session.scalar(count) or 0

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
        self.acting.refuse_guest("run")
        with self.database.write() as session:
            row = session.get(Run, id)
            if row is None:
                raise _no_run(id)
            self.acting.refuse_others(row.owner, f"run {id}")
            for name, value in values.items():
                setattr(row, name, value)
            row.search = search_text(id, row.title, row.spec)
            if tags is not None:
                _set_tags(session, id, tags)
        self.acting.tell(f"run {id}")
        return self.run(id)

    def delete_run(self, id: str) -> None:
        """Delete a finished run with its files; refused while other runs descend from it."""
        record = self.run(id)
        self.acting.refuse_guest("run")
        self.acting.refuse_others(record.owner, f"run {id}")
        if record.state not in FINAL_STATES:
            raise Conflict(f"Run {id} is {record.state}; cancel it before it is deleted.")
        try:
            with self.database.write() as session:
                session.execute(delete(Run).where(Run.id == id))
        except IntegrityError:
            # Another's run that may not be seen is not named.
            heirs = ", ".join(child.id for child in self.children(id)[:5]) or "another run"
            raise Conflict(
                f"Run {id} cannot be deleted: {heirs} was made from it. Delete that first, "
                f"or archive the run."
            ) from None
        self.artifacts.delete_tree(f"runs/{id}")
        self.acting.tell(f"run {id}")

    def result(self, id: str) -> Result | None:
        """A run's result; None when it has none yet. Raises NotFound."""
        with self.database.read() as session:
            found = self.known_results.of(session, id)
        if found is None:
            self.run(id)
        return found

    def receipts(self, ids: Iterable[str]) -> dict[str, Receipt]:
        """What each of these runs changed, by its id; a run without a receipt is absent.

        The rest of their results is read and passed over unchecked: it is most of them.
        """
        stored = select(RunResult.run_id, RunResult.body).where(RunResult.run_id.in_(list(ids)))
        with self.database.read() as session:
            found = session.execute(stored).all()
        given = ((row.run_id, row.body.get("receipt")) for row in found)
        return {id: Receipt.model_validate(receipt) for id, receipt in given if receipt}

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
            found = select(Run).where(Run.id.in_(ids)).order_by(Run.created)
            return records(session, found, self.announced)

    def orphans(self) -> list[str]:
        """Ids of runs that a study asked for and that go on although it failed or was cancelled."""
        study = aliased(Run)
        asked = (
            select(Run.id)
            .join(RunParent, and_(RunParent.run_id == Run.id, RunParent.position == 0))
            .join(study, study.id == RunParent.parent_id)
            .where(study.kind == "study", study.state.in_(("failed", "cancelled")))
            .where(Run.state.not_in(FINAL_STATES), Run.cancel_requested.is_(None))
        )
        with self.database.read() as session:
            return list(session.scalars(asked))

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
        self.acting.refuse_others(self.run(id).owner, f"run {id}")
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
        self.acting.tell(f"run {id}")
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
    browser: str = "",
    id: str = "",
) -> str:
    """Write a queued run, its lineage and its first event; UserError when a parent is missing.

    `browser` is the session that takes turns with others; `id` that of a run made elsewhere.
    """
    parents = parents_of(spec) if parents is None else parents
    id = id or secrets.token_hex(6)
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
            **placed(session, parents, owner),
            session=browser,
            priority=priority,
            created=database_time(),
        )
    )
    _set_parents(session, id, parents)
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


def _no_run(id: str) -> NotFound:
    return NotFound(f"There is no run {id!r}; it may have been deleted.")

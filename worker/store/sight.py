"""What may be seen, in one place: a condition that every statement gets which is read for somebody.

On a shared server a person sees what is theirs, what is in a project of theirs and shared with it,
and what is shared with the server; who has no account sees what is shared with anybody. What may
not be seen is not there, for lists, counts and look-ups alike, whoever wrote the statement: the
session adds the condition to each table that the statement names, also in what it only asks within.

A statement that has to know of everything (whether a name is taken, who is before whom in the
queue) says so with WHOLE, and gives nothing of it away.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, select
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria
from sqlalchemy.sql import Select, visitors

from worker.contract.projects import Visibility
from worker.store.class_tables import ClassRow, GuestRow
from worker.store.fact_tables import FactBody, FactRow, FactSetRow, SplitRow
from worker.store.project_tables import MemberRow, ProjectRow
from worker.store.tables import (
    CircuitRow,
    KnowledgeRow,
    MaskRow,
    Run,
    RunEvent,
    RunParent,
    RunResult,
    RunTag,
    TextRow,
)

WHOLE: Mapping[str, bool] = {"whole": True}
"""Execution options of a statement that reads whatever there is."""
_OPEN: tuple[Visibility, ...] = ("server", "anybody")
_MADE = (Run, FactSetRow, MaskRow, TextRow, CircuitRow)
_OF_RUNS = (RunTag, RunResult, RunEvent, KnowledgeRow)
_OF_SETS = (FactRow, FactBody, SplitRow)
Rule = Callable[[Any], ColumnElement[bool]]
_RUNS = Run.__table__.alias()
_SETS = FactSetRow.__table__.alias()
_CLASSES = ClassRow.__table__.alias()
"""Looked into by conditions: an alias makes its columns anew, which costs more than a statement."""


class Sight:
    """What one person sees; who has no account for an empty name. Called with each statement.

    A guest of a class sees what is theirs and what is in the class's project, and no more. A
    visitor of an open house sees the runs that are `shipped`, by id, and what is shared with
    anybody where that `is_open`.
    """

    def __init__(
        self,
        person: str,
        *,
        is_guest: bool = False,
        shipped: tuple[str, ...] = (),
        is_open: bool = True,
    ) -> None:
        self._person, self._is_guest = person, is_guest
        self._shipped, self._is_open = shipped, is_open
        self._entities = {entity.__tablename__: entity for entity in self._rules()}
        self._options: dict[str, Any] = {}
        """Table -> its condition, from the first statement that names the table."""

    def __call__(self, state: ORMExecuteState) -> None:
        """Leave of a statement what may be seen."""
        if state.execution_options.get("whole"):
            return
        named = _tables(state.statement)
        options = [self._option(name) for name in self._entities if name in named]
        if options:
            state.statement = state.statement.options(*options)

    def of(self, made: Any) -> ColumnElement[bool]:
        """Whether a row of runs, sets, masks, texts or circuits may be seen; `made` has columns."""
        if not self._person:
            return made.visibility == "anybody" if self._is_open else false()
        in_project = and_(made.visibility == "project", made.project.in_(self._projects()))
        if self._is_guest:
            return or_(made.owner == self._person, in_project)
        return or_(made.owner == self._person, made.visibility.in_(_OPEN), in_project)

    def _projects(self) -> Select[Any]:
        """The ids of the person's projects, as they are when a statement is read."""
        members = MemberRow.__table__
        return select(members.c.project_id).where(members.c.person == self._person)

    def _rules(self) -> dict[Any, Rule]:
        rules: dict[Any, Rule] = dict.fromkeys(_MADE, self.of)
        rules[FactSetRow] = self._set
        rules[Run] = self._run
        rules |= {one: lambda row: self._run_of(row, row.run_id) for one in _OF_RUNS}
        rules |= dict.fromkeys(_OF_SETS, self._set_of)
        rules[RunParent] = lambda row: and_(
            self._run_of(row, row.run_id), self._run_of(row, row.parent_id)
        )
        rules[ProjectRow] = lambda row: self._within(row.id)
        rules[MemberRow] = lambda row: self._within(row.project_id)
        rules[ClassRow] = lambda row: self._within(row.project)
        rules[GuestRow] = self._of_class
        return rules

    def _of_class(self, row: Any) -> ColumnElement[bool]:
        """Whether a guest may be seen: by who is in the class's project."""
        mine = select(_CLASSES.c.id).where(self._within(_CLASSES.c.project))
        return row.class_id.in_(mine)  # type: ignore[no-any-return]

    def _within(self, project: Any) -> ColumnElement[bool]:
        return project.in_(self._projects()) if self._person else false()

    def _option(self, table: str) -> Any:
        if table not in self._options:
            entity = self._entities[table]
            rule = self._rules()[entity](entity)
            self._options[table] = with_loader_criteria(entity, rule, include_aliases=True)
        return self._options[table]

    def _run_of(self, row: Any, id: Any) -> ColumnElement[bool]:
        """Whether the run that a row tells of may be seen: one look into its primary key."""
        return exists().where(_RUNS.c.id == id, self._run(_RUNS.c)).correlate(row)

    def _run(self, runs: Any) -> ColumnElement[bool]:
        """Whether a run may be seen: to visitors, also one of those that ship with Lethe."""
        if not self._shipped:
            return self.of(runs)
        return or_(self.of(runs), runs.id.in_(self._shipped))

    def _set(self, sets: Any) -> ColumnElement[bool]:
        """Whether a fact set may be seen: those that ship with Lethe, by everybody."""
        return or_(self.of(sets), sets.bundled)

    def _set_of(self, row: Any) -> ColumnElement[bool]:
        """Whether the fact set that a row is of may be seen: there are few sets and many facts."""
        seen = select(_SETS.c.name).where(self._set(_SETS.c))
        return row.set_name.in_(seen)  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def sight_of(
    person: str, *, is_guest: bool = False, shipped: tuple[str, ...] = (), is_open: bool = True
) -> Sight:
    """The sight of a person; kept, since every request of theirs has the same conditions."""
    return Sight(person, is_guest=is_guest, shipped=shipped, is_open=is_open)


def _tables(statement: Any) -> set[str]:
    """The names of all tables that a statement names anywhere."""
    found = (getattr(one, "table", None) for one in visitors.iterate(statement))
    return {getattr(table, "name", "") for table in found}

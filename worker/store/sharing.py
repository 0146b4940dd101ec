"""Who may see what was made: chosen by its owner, at any time, for what is there already too."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from worker.contract.errors import NotFound, UserError
from worker.contract.projects import Visibility, visibility_of
from worker.store.acting import Acting
from worker.store.database import Database
from worker.store.fact_tables import FactSetRow
from worker.store.limits import refuse_files
from worker.store.placing import may_add_to
from worker.store.sight import WHOLE, sight_of
from worker.store.tables import CircuitRow, MaskRow, Run, RunParent, TextRow

Made = Literal["run", "fact set", "mask", "text", "circuit"]
MADE: tuple[Made, ...] = get_args(Made)
_TABLES: dict[Made, Any] = {
    "run": Run,
    "fact set": FactSetRow,
    "mask": MaskRow,
    "text": TextRow,
    "circuit": CircuitRow,
}


@dataclass(frozen=True)
class Shared:
    """Whose something is and who may see it; `name` is what people call it."""

    name: str
    owner: str
    project: str
    visibility: Visibility
    bundled: bool = False


class SharingStore:
    """The visibility and the project of everything that people make."""

    database: Database
    acting: Acting

    def share(self, what: Made, id: str, visibility: str, project: str | None = None) -> None:
        """Say who may see something, by its id or name; `project` None leaves it in its project.

        A study's runs go with it. Raises NotFound, Forbidden for another's, and UserError for
        what is shared with a project and in none, or with anybody where no admin allows that.
        """
        chosen = visibility_of(visibility)
        with self.database.write() as session:
            row = session.get(_TABLES[what], id)
            if row is None or getattr(row, "bundled", False):
                raise _nothing(what, id)
            self.acting.refuse_others(row.owner, f"{what} {id}")
            if project and project != row.project:
                may_add_to(session, self.acting, project)
                if what == "run":
                    refuse_files(session, project, _size(session, row))
            within = row.project if project is None else project
            self._check(chosen, within, row.visibility)
            row.visibility, row.project = chosen, within
            if what == "run" and row.kind == "study":
                _share_children(session, row)
        of_project = f" ({within})" if chosen == "project" else ""
        self.acting.tell(f"{what} {id}: {chosen}{of_project}")

    def shared(self, what: Made, id: str) -> Shared:
        """Whose something is and who may see it; raises NotFound."""
        with self.database.read() as session:
            row = session.get(_TABLES[what], id)
        if row is None:
            raise _nothing(what, id)
        name = row.title if what == "run" else row.name
        if what == "mask":
            name = f"{name} v{row.version}"
        seen = visibility_of(row.visibility)
        return Shared(name, row.owner, row.project, seen, getattr(row, "bundled", False))

    def is_opened(self, what: Made, id: str) -> bool:
        """Whether anybody may see something, who has no account."""
        with self.database.seen_by(sight_of("")).read() as session:
            row = session.get(_TABLES[what], id)
        return row is not None and row.visibility == "anybody"

    def _check(self, chosen: Visibility, project: str, before: str) -> None:
        if chosen == "project" and not project:
            raise UserError(
                "It is in no project that could see it; expected the project's id beside the "
                "visibility 'project'.",
                field="project",
            )
        if chosen == "anybody" and before != chosen and not self.acting.may_open:
            raise UserError(
                "On this server nothing is shared with people who have no account; expected "
                "'private', 'project' or 'server'. An admin allows it with LETHE_ANYBODY=1.",
                field="visibility",
            )


def _nothing(what: Made, id: str) -> NotFound:
    return NotFound(f"There is no {what} {id[:60]!r} that could be shared.")


def _size(session: Session, run: Run) -> int:
    """The bytes of a run's files, of a study with those of its runs."""
    of_it = Run.id == run.id
    if run.kind == "study":
        of_it = or_(of_it, _children(run))
    return session.scalar(select(func.sum(Run.bytes)).where(of_it), execution_options=WHOLE) or 0


def _share_children(session: Session, study: Run) -> None:
    """Let a study's runs be seen by whoever sees the study."""
    session.execute(
        update(Run)
        .where(_children(study))
        .values(visibility=study.visibility, project=study.project),
        execution_options={"synchronize_session": False},
    )


def _children(study: Run) -> ColumnElement[bool]:
    """Which runs a study asked for."""
    first = select(RunParent.run_id).where(RunParent.parent_id == study.id, RunParent.position == 0)
    return and_(Run.id.in_(first), Run.owner == study.owner)

"""What a server lets go of: old runs to the archive, old archived ones away, files nobody names.

Nothing that is starred, goes on, or is named by what stays is touched: a run of which another was
made, or that a mask was taken from, stays as long as that does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from worker.contract.errors import LetheError, NotFound
from worker.contract.progress import FINAL_STATES
from worker.store.artifacts import Artifacts, is_begun
from worker.store.store import Store
from worker.store.tables import MaskRow, Run, RunParent, TextRow, database_time

YOUNG = timedelta(days=1)
"""A file that is younger may be one whose run or text is just being written."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Retention:
    """From when on a run is let go, in seconds since it ended; None: never."""

    archive_after: float | None = None
    delete_after: float | None = None
    """Of archived runs."""
    files: bool = False
    """Whether files that nothing names go too."""


@dataclass(frozen=True)
class Plan:
    """What would be done."""

    archive: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    """Run ids, those that were made from others before these."""
    needed: tuple[str, ...] = ()
    """Run ids that are old enough to go and stay, since something that stays names them."""
    files: tuple[str, ...] = ()
    """Names of artifacts that nothing names."""
    bytes: int = 0
    """Of these files and of the deleted runs' own."""


def plan(store: Store, retention: Retention) -> Plan:
    """Find what is to go; nothing is changed."""
    with store.database.read() as session:
        archive = _old(session, retention.archive_after, Run.archived.is_(False))
        old = _old(session, retention.delete_after, Run.archived.is_(True))
        delete = _free(session, old)
        known = set(session.scalars(select(Run.id)))
        texts = set(session.scalars(select(TextRow.hash)))
    names = store.artifacts.every(begun=True) if retention.files or delete else []
    gone = set(delete)
    own = [name for name in names if _owner(name) in {("runs", id) for id in gone}]
    files = _unnamed(store.artifacts, names, known, texts) if retention.files else []
    return Plan(
        archive=tuple(archive),
        delete=tuple(delete),
        needed=tuple(id for id in old if id not in gone),
        files=tuple(files),
        bytes=sum(_size(store.artifacts, name) for name in [*own, *files]),
    )


def carry_out(store: Store, found: Plan, tell: Tell = lambda words: None) -> list[str]:
    """Do what was planned; what could not be done, as sentences. The rest is done all the same."""
    refused = []
    for number, id in enumerate(found.archive, 1):
        tell(f"archived {number} of {len(found.archive)}")
        refused += _tried(partial(store.update_run, id, archived=True))
    for number, id in enumerate(found.delete, 1):
        tell(f"deleted {number} of {len(found.delete)} runs")
        refused += _tried(partial(store.delete_run, id))
    for number, name in enumerate(found.files, 1):
        tell(f"deleted {number} of {len(found.files)} files")
        refused += _tried(partial(store.artifacts.delete_tree, name))
    for owner in sorted({"/".join(_owner(name)) for name in found.files}):
        if not store.artifacts.names(owner):
            refused += _tried(partial(store.artifacts.delete_tree, owner))
    return refused


def _tried(do: Callable[[], object]) -> list[str]:
    """Do one thing; why it could not be done. What is gone meanwhile is as it was meant."""
    try:
        do()
    except NotFound:
        return []
    except (LetheError, OSError) as error:
        return [str(error)]
    return []


def _old(session: Session, after: float | None, more: ColumnElement[bool]) -> list[str]:
    """Runs that ended so many seconds ago and longer, the newest first."""
    if after is None:
        return []
    ended = func.coalesce(Run.finished, Run.created)
    found = select(Run.id).where(
        Run.state.in_(FINAL_STATES), Run.starred.is_(False), ended < database_time() - after, more
    )
    return list(session.scalars(found.order_by(Run.created.desc(), Run.id)))


def _free(session: Session, old: list[str]) -> list[str]:
    """Those of the old runs that nothing names which stays, each before what it was made from."""
    children: dict[str, set[str]] = {id: set() for id in old}
    lineage = session.execute(select(RunParent.parent_id, RunParent.run_id))
    for parent, child in lineage:
        if parent in children:
            children[parent].add(child)
    masks = set(session.scalars(select(MaskRow.localization)))
    going = {id for id in old if id not in masks}
    while needed := {id for id in going if children[id] - going}:
        going -= needed
    order: list[str] = []
    done: set[str] = set()
    left = [id for id in old if id in going]
    while left:
        ready = [id for id in left if children[id] <= done]
        order += ready
        done |= set(ready)
        left = [id for id in left if id not in done]
    return order


def _unnamed(
    artifacts: Artifacts, names: Iterable[str], runs: set[str], texts: set[str]
) -> list[str]:
    known = {("runs", id) for id in runs} | {("texts", digest) for digest in texts}
    youngest = datetime.now(UTC) - YOUNG
    return [
        name
        for name in names
        if _owner(name)[0] in ("runs", "texts", "uploads")
        and (_owner(name) not in known or is_begun(name))
        and _modified(artifacts, name) < youngest
    ]


def _owner(name: str) -> tuple[str, str]:
    """What a file is of, as `runs` and the run's id."""
    kind, _, rest = name.partition("/")
    return kind, rest.partition("/")[0]


def _modified(artifacts: Artifacts, name: str) -> datetime:
    """When a file was written; now, for one that is gone meanwhile."""
    try:
        return artifacts.modified(name)
    except NotFound:
        return datetime.now(UTC)


def _size(artifacts: Artifacts, name: str) -> int:
    try:
        return artifacts.size(name)
    except NotFound:
        return 0

"""Reading runs: which match a filter, and each with its tags, lineage and place in the queue."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from sqlalchemy import ColumnElement, Select, UnaryExpression, select, union_all
from sqlalchemy.orm import Session, aliased

from worker.contract.ability import why_waits
from worker.contract.records import RunRecord
from worker.contract.spec import parse_spec
from worker.store.halts import halts, words_of
from worker.store.limits import at_their_limit, title_of
from worker.store.menus import Menus
from worker.store.tables import Run, RunParent, RunTag, moment
from worker.store.taking import takers_of
from worker.store.turns import WAITS, places
from worker.store.workers import menus

OPEN = ("loading", "running")
"""The states in which a study has children."""


class RunFilter(TypedDict, total=False):
    """What runs must match; what is missing or None matches all, but for `archived`."""

    kind: str | None
    state: str | None
    model: str | None
    owner: str | None
    project: str | None
    """The id of the project that they are in."""
    tag: str | None
    search: str | None
    """Words that all stand in the run's id, title or spec."""
    starred: bool | None
    archived: bool | None
    """False when missing; None lists both."""
    of_study: bool | None
    """False leaves out what a study asked for; None lists all."""


def matching(which: RunFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter; runs put into the archive match only where it says so."""
    archived = which.get("archived", False)
    columns: dict[Any, Any] = {Run.kind: which.get("kind"), Run.state: which.get("state")}
    columns |= {Run.model: which.get("model"), Run.owner: which.get("owner")}
    columns |= {Run.project: which.get("project")}
    columns |= {Run.starred: which.get("starred"), Run.archived: archived}
    found = [column == value for column, value in columns.items() if value is not None]
    if (of_study := which.get("of_study")) is not None:
        study = aliased(Run)
        asked = select(RunParent.run_id).join(study, study.id == RunParent.parent_id)
        asked = asked.where(RunParent.run_id == Run.id, study.kind == "study")
        found.append(asked.exists() if of_study else ~asked.exists())
    if tag := which.get("tag"):
        found.append(Run.id.in_(select(RunTag.run_id).where(RunTag.tag == tag)))
    if search := which.get("search"):
        found += [Run.search.contains(w, autoescape=True) for w in search.casefold().split()]
    return found


def newest_first(
    which: RunFilter,
    limit: int | None,
    *more: ColumnElement[bool] | None,
    backwards: bool = False,
) -> Select[float, str]:
    """The keys, `created` and `id`, of the first runs that match and meet `more`, newest first.

    They stand in the indexes, in this order for each value of `archived`: for all runs, the first
    of both are put together. A search reads the index that holds what is searched, and no row.
    """
    archived = which.get("archived", False)
    key = (Run.created, Run.id)
    parts = []
    for value in (False, True) if archived is None else (archived,):
        given: RunFilter = {**which, "archived": value}
        part = select(*key).where(*matching(given), *(one for one in more if one is not None))
        if which.get("search"):
            part = part.with_hint(Run, "INDEXED BY runs_searched", "sqlite")
        parts.append(part.order_by(*_ordered(key, backwards)).limit(limit))
    if len(parts) == 1:
        return parts[0]
    found = union_all(*(select(part.subquery()) for part in parts)).subquery()
    both = select(found.c.created, found.c.id)
    return both.order_by(*_ordered((found.c.created, found.c.id), backwards)).limit(limit)


def _ordered(columns: Iterable[Any], backwards: bool) -> list[UnaryExpression[Any]]:
    return [column.asc() if backwards else column.desc() for column in columns]


def newest(which: RunFilter, limit: int) -> Select[Run]:
    """The newest runs that match; whole rows, specs and all, are read of these alone."""
    keys = newest_first(which, limit).subquery()
    page = select(Run).where(Run.id.in_(select(keys.c.id)))
    return page.order_by(Run.created.desc(), Run.id.desc())


def records(session: Session, query: Select[Run], announced: Menus) -> list[RunRecord]:
    """Read the runs of a query with their tags, their lineage, their place in the queue and what
    hinders them."""
    rows = session.scalars(query).all()
    if not rows:
        return []
    waits = any(run.state == "queued" for run in rows)
    ahead = places(session) if waits else {}
    ids = [run.id for run in rows]
    tags: dict[str, list[str]] = {id: [] for id in ids}
    parents: dict[str, list[str]] = {id: [] for id in ids}
    for tag in session.scalars(select(RunTag).where(RunTag.run_id.in_(ids)).order_by(RunTag.tag)):
        tags[tag.run_id].append(tag.tag)
    lineage = select(RunParent).where(RunParent.run_id.in_(ids)).order_by(RunParent.position)
    for link in session.scalars(lineage):
        parents[link.run_id].append(link.parent_id)
    why = _hindered(session, rows, announced)
    full = _full(session, [run for run in rows if run.state in WAITS and run.kind != "study"])
    return [_record(run, ahead, why, full, tags[run.id], parents[run.id]) for run in rows]


def _hindered(session: Session, rows: Sequence[Run], announced: Menus) -> dict[str, str]:
    """Why nobody takes the waiting ones among these runs; of a study, its waiting children."""
    specs = [(run.id, run.spec, run.moved_to) for run in rows if run.state in WAITS]
    studies = [run.id for run in rows if run.kind == "study" and run.state in OPEN]
    if studies:
        child = select(RunParent.parent_id, Run.spec, Run.moved_to)
        child = child.join(Run, Run.id == RunParent.run_id)
        children = child.where(RunParent.parent_id.in_(studies), Run.state.in_(WAITS))
        specs += [(id, spec, moved_to) for id, spec, moved_to in session.execute(children)]
    known = menus(session, announced) if specs else {}
    halted = words_of(halts(session)) if known else {}
    conducted = {run.id for run in rows if run.kind == "study" and run.state in WAITS}
    found: dict[str, str] = {}
    for id, spec, moved_to in specs if known else ():
        # Also a worker that is halted conducts a study: that takes nothing of its device.
        halt = {} if id in conducted else halted
        if words := why_waits(parse_spec(spec), known, halt, moved_to):
            found[id] = words
    return found


def _full(session: Session, runs: Sequence[Run]) -> dict[str, str]:
    """Of whom so many runs are computed that one of these has to wait for that, by the run's id."""
    whose = {run.id: takers_of(run.owner, run.project) for run in runs}
    full = at_their_limit(session, [taker for takers in whose.values() for taker in takers])
    return {
        id: taker.id if taker.kind == "person" else f"the project {title_of(session, taker.id)}"
        for id, takers in whose.items()
        for taker in takers
        if taker in full
    }


def _record(
    run: Run,
    ahead: Mapping[str, int],
    why: Mapping[str, str],
    full: Mapping[str, str],
    tags: list[str],
    parents: list[str],
) -> RunRecord:
    made = {"created", "started", "finished", "ahead", "hindrance", "held", "tags", "parents"}
    plain = {name: getattr(run, name) for name in set(RunRecord.model_fields) - made}
    return RunRecord(
        **plain,
        created=moment(run.created),
        started=None if run.started is None else moment(run.started),
        finished=None if run.finished is None else moment(run.finished),
        ahead=ahead.get(run.id, 0) if run.state == "queued" else 0,
        hindrance=why.get(run.id, ""),
        held=full.get(run.id, ""),
        tags=tuple(tags),
        parents=tuple(parents),
    )

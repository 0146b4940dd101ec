"""Fact sets in the database: one row per fact, so that a page of 22,000 is read alone."""

from collections.abc import Sequence

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from worker.contract.base import unknown
from worker.contract.errors import Conflict, NotFound, UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.menu import FactSetInfo
from worker.contract.projects import visibility_of
from worker.store.acting import Acting
from worker.store.database import Database
from worker.store.describe import plain
from worker.store.fact_tables import FactBody, FactRow, FactSetRow, SplitRow
from worker.store.placing import OPEN, placed
from worker.store.sight import WHOLE
from worker.store.tables import Base, database_time


class _Bare(BaseModel):
    """What a tokenizer cuts of a fact; the rest of its body is passed over."""

    id: str
    subject: str
    prompt: str
    target: str
    edit_target: str = ""
    join: str = ""


_FACTS = TypeAdapter(tuple[Fact, ...])
_BARE = TypeAdapter(tuple[_Bare, ...])
_TABLES = Base.metadata.tables
"""Rows go into the tables themselves: through the mapped classes they would take twice as long."""


KEPT = 2
"""Fact sets whose parsed facts are kept in memory."""
_known: dict[tuple[str, str, str, float], tuple[Fact, ...]] = {}


class FactStore:
    """Fact sets, their facts and their splits."""

    database: Database
    acting: Acting

    def fact_sets(self) -> list[FactSetInfo]:
        """Every fact set, bundled ones first, then by name."""
        with self.database.read() as session:
            splits = session.execute(select(SplitRow.set_name, SplitRow.name)).all()
            rows = session.scalars(
                select(FactSetRow).order_by(FactSetRow.bundled.desc(), FactSetRow.name)
            ).all()
        names = {row.name: tuple(sorted(n for s, n in splits if s == row.name)) for row in rows}
        return [_info(row, names[row.name]) for row in rows]

    def fact_set(self, name: str) -> FactSet:
        """One fact set, whole; raises NotFound that names the nearest."""
        with self.database.read() as session:
            row = _set_row(session, name)
            # A set that is stored again has another time, and with other facts another hash.
            key = (str(self.database.url), name, row.hash, row.created)
            facts = _known.get(key)
            bodies = _bodies(session, name) if facts is None else ()
            splits = session.scalars(select(SplitRow).where(SplitRow.set_name == name)).all()
        if facts is None:
            # Checked as a set once; what is made of its facts knows them again by their tuple.
            facts = _keep(key, FactSet(name=name, facts=_parse(bodies)).facts)
        return FactSet(name=name, facts=()).model_copy(
            update={
                "title": row.title,
                "description": row.description,
                "facts": facts,
                "splits": {split.name: tuple(split.ids) for split in splits},
            }
        )

    def fact_set_hash(self, name: str) -> str:
        """The hash of a set's facts, without reading them; raises NotFound."""
        with self.database.read() as session:
            return _set_row(session, name).hash

    def bare_fact_set(self, name: str, first: int = 0) -> FactSet:
        """A set's facts (its `first`, or all) without groups, questions and prompts around them."""
        bodies = select(FactBody.body).where(FactBody.set_name == name).order_by(FactBody.position)
        with self.database.read() as session:
            _set_row(session, name)
            found = session.scalars(bodies.limit(first) if first else bodies).all()
        bare = _BARE.validate_json(f"[{','.join(found)}]")
        # They were checked when they were stored.
        facts = tuple(Fact.model_construct(**one.__dict__) for one in bare)
        return FactSet(name=name, facts=facts)

    def facts_page(
        self, name: str, *, search: str = "", group: str = "", limit: int = 50, offset: int = 0
    ) -> tuple[list[Fact], int]:
        """A page of the facts that hold every word of `search`, and how many there are in all."""
        matching = [FactRow.search.contains(w, autoescape=True) for w in plain(search).split()]
        if group:
            matching.append(FactRow.group == group)
        with self.database.read() as session:
            # A set's positions are 0 to n - 1: without a condition none has to be read.
            found: Sequence[int] = range(_set_row(session, name).n_facts)
            if matching:
                positions = select(FactRow.position).where(FactRow.set_name == name, *matching)
                found = session.scalars(positions.order_by(FactRow.position)).all()
            bodies = _bodies(session, name, found[offset : offset + limit])
        return list(_parse(bodies)), len(found)

    def split_sizes(self, name: str) -> dict[str, int]:
        """How many facts each split of a set forgets, by name; no fact is read for it."""
        with self.database.read() as session:
            return {split: len(ids) for split, ids in sorted(_splits(session, name).items())}

    def save_fact_set(
        self, fact_set: FactSet, *, owner: str = "", bundled: bool = False
    ) -> FactSetInfo:
        """Store a fact set in place of the one of its name; a bundled one is replaced by none.

        Raises UserError for a set without a name or a fact.
        """
        _check(fact_set)
        # Made before the write lock is taken, for which runs that report progress would wait.
        maker = owner or self.acting.person
        values, rows, bodies = _set_values(fact_set, maker, bundled), *_rows(fact_set)
        with self.database.write() as session:
            self.database.lock(session, f"facts {fact_set.name}")
            old = session.get(FactSetRow, fact_set.name, execution_options=WHOLE)
            if old is not None and old.bundled and not bundled:
                raise UserError(
                    f"{fact_set.name!r} is a bundled fact set; choose another name for yours.",
                    field="name",
                )
            if old is not None and not old.bundled:
                self._refuse_taken(session, old)
            if bundled or old is None or old.bundled:
                values |= OPEN if bundled else placed(session)
            else:
                values |= {"project": old.project, "visibility": old.visibility}
            kept = _splits(session, fact_set.name) if old is not None else {}
            owners = _split_owners(session, fact_set.name)
            session.execute(delete(FactSetRow).where(FactSetRow.name == fact_set.name))
            session.execute(insert(FactSetRow).values(values))
            session.execute(insert(_TABLES[FactRow.__tablename__]), rows)
            session.execute(insert(_TABLES[FactBody.__tablename__]), bodies)
            known = {fact.id for fact in fact_set.facts}
            still = {split: ids for split, ids in kept.items() if known.issuperset(ids)}
            for split, ids in (still | fact_set.splits).items():
                whose = owners.get(split, maker) if split in still else maker
                session.add(
                    SplitRow(set_name=fact_set.name, name=split, ids=list(ids), owner=whose)
                )
            row = session.get_one(FactSetRow, fact_set.name, populate_existing=True)
        self.acting.tell(f"fact set {fact_set.name}")
        return _info(row, tuple(sorted(still | fact_set.splits)))

    def _refuse_taken(self, session: Session, old: FactSetRow) -> None:
        """Raise Forbidden for a name of another's set; of one that may not be seen, its name."""
        if session.get(FactSetRow, old.name, populate_existing=True) is None:
            raise UserError(
                f"The name {old.name!r} is taken on this server; choose another.", field="name"
            )
        self.acting.refuse_others(old.owner, f"fact set {old.name}")

    def sync_bundled(self, fact_set: FactSet) -> None:
        """Store a bundled set unless it is there already; a set that somebody brought stays."""
        with self.database.read() as session:
            row = session.get(FactSetRow, fact_set.name)
        if row is None or (row.bundled and not _is_same(row, fact_set)):
            self.save_fact_set(fact_set, bundled=True)

    def delete_fact_set(self, name: str) -> None:
        """Delete a fact set that was brought; a bundled one stays."""
        with self.database.write() as session:
            row = _set_row(session, name)
            if row.bundled:
                raise Conflict(f"{name!r} is a bundled fact set and cannot be deleted.")
            self.acting.refuse_others(row.owner, f"fact set {name}")
            session.execute(delete(FactSetRow).where(FactSetRow.name == name))
        self.acting.tell(f"fact set {name}")

    def save_split(self, set_name: str, split: str, ids: tuple[str, ...] | list[str]) -> None:
        """Name the facts that are to be forgotten; an empty list deletes the split.

        Whoever saves one first has it; whose the set is may change it too.
        """
        if not split.strip() or ":" in split:
            raise UserError(
                f"{split!r} is no name for a split; expected a word without ':', which begins "
                f"rules such as first:16.",
                field="split",
            )
        with self.database.write() as session:
            of_set = _set_row(session, set_name).owner
            old = session.get(SplitRow, (set_name, split))
            if old is not None and of_set != self.acting.person:
                self.acting.refuse_others(old.owner, f"split {split} of {set_name}")
            known = {fact.id for fact in _parse(_bodies(session, set_name))}
            for id in ids:
                if id not in known:
                    raise unknown("fact", id, sorted(known), field="ids")
            gone = delete(SplitRow).where(SplitRow.set_name == set_name, SplitRow.name == split)
            session.execute(gone)
            if ids:
                maker = old.owner if old is not None else self.acting.person
                named = {"set_name": set_name, "name": split, "owner": maker}
                session.execute(insert(SplitRow).values(**named, ids=list(ids)))
        self.acting.tell(f"split {split} of {set_name}")


def _keep(key: tuple[str, str, str, float], facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    """Keep the facts that were parsed last: the next submission reads the same set."""
    while len(_known) >= KEPT:
        _known.pop(next(iter(_known)), None)
    _known[key] = facts
    return facts


def _check(fact_set: FactSet) -> None:
    if not fact_set.name.strip() or len(fact_set.name) > 200:
        raise UserError(
            f"{fact_set.name[:40]!r} is no name for a fact set; expected 1 to 200 characters.",
            field="name",
        )
    if not fact_set.facts:
        raise UserError(f"The fact set {fact_set.name!r} has no fact; expected at least one.")


def _dump(fact: Fact) -> str:
    """A fact as JSON; UserError for characters that no database keeps."""
    try:
        text = fact.model_dump_json(exclude_defaults=True)
    except ValueError:
        raise UserError(
            f"The fact {fact.id!r} holds half of a character; expected whole Unicode."
        ) from None
    if "\\u0000" in text:
        raise UserError(f"The fact {fact.id!r} holds a NUL character; take it out.")
    return text


def _is_same(row: FactSetRow, fact_set: FactSet) -> bool:
    words = (fact_set.title or fact_set.name, fact_set.description)
    return row.hash == fact_set.hash and (row.title, row.description) == words


def _set_values(fact_set: FactSet, owner: str, bundled: bool) -> dict[str, object]:
    return {
        "name": fact_set.name,
        "title": fact_set.title or fact_set.name,
        "description": fact_set.description,
        "n_facts": len(fact_set.facts),
        "groups": sorted({fact.group for fact in fact_set.facts if fact.group}),
        "hash": fact_set.hash,
        "bundled": bundled,
        "owner": owner,
        "created": database_time(),
    }


def _rows(fact_set: FactSet) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """What the facts are found by, and the facts."""
    rows, bodies = [], []
    for position, fact in enumerate(fact_set.facts):
        key = {"set_name": fact_set.name, "position": position}
        words = (fact.id, fact.text, fact.target, fact.edit_target, fact.group, fact.relation)
        bodies.append({**key, "body": _dump(fact)})
        rows.append({**key, "group": fact.group, "search": plain(" ".join(words))})
    return rows, bodies


def _set_row(session: Session, name: str) -> FactSetRow:
    row = session.get(FactSetRow, name)
    if row is None:
        known = list(session.scalars(select(FactSetRow.name).order_by(FactSetRow.name)))
        raise NotFound(unknown("fact set", name, known).message, field="facts.set")
    return row


def _splits(session: Session, name: str) -> dict[str, tuple[str, ...]]:
    rows = session.scalars(select(SplitRow).where(SplitRow.set_name == name))
    return {row.name: tuple(row.ids) for row in rows}


def _split_owners(session: Session, name: str) -> dict[str, str]:
    rows = session.scalars(select(SplitRow).where(SplitRow.set_name == name))
    return {row.name: row.owner for row in rows}


def _bodies(session: Session, name: str, positions: Sequence[int] | None = None) -> Sequence[str]:
    query = select(FactBody.body).where(FactBody.set_name == name).order_by(FactBody.position)
    if positions is not None:
        query = query.where(FactBody.position.in_(positions))
    return session.scalars(query).all()


def _parse(bodies: Sequence[str]) -> tuple[Fact, ...]:
    return _FACTS.validate_json(f"[{','.join(bodies)}]")


def _info(row: FactSetRow, splits: tuple[str, ...]) -> FactSetInfo:
    return FactSetInfo(
        name=row.name,
        title=row.title,
        description=row.description,
        n_facts=row.n_facts,
        groups=tuple(row.groups),
        splits=splits,
        hash=row.hash,
        bundled=row.bundled,
        owner=row.owner,
        project=row.project,
        visibility=visibility_of(row.visibility),
    )

"""The tables. Times are seconds since 1970 by the database's clock; JSON is kept as ASCII text."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    Dialect,
    Double,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class database_time(FunctionElement[float]):
    """Seconds since 1970 by the clock of the database, the only clock that hosts share."""

    type = Double()
    inherit_cache = True


@compiles(database_time, "sqlite")
def _sqlite_time(element: database_time, compiler: SQLCompiler, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_time, "postgresql")
def _postgres_time(element: database_time, compiler: SQLCompiler, **options: Any) -> str:
    return "CAST(extract(epoch from clock_timestamp()) AS double precision)"


class Json(TypeDecorator[Any]):
    """JSON as ASCII text: NaN, NUL and lone surrogates survive, which native JSON types refuse."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


RunId = Annotated[str, mapped_column(String(64))]
Name = Annotated[str, mapped_column(String(255))]
Long = Annotated[str, mapped_column(Text)]
Seconds = Annotated[float, mapped_column(Double)]
Body = Annotated[dict[str, Any], mapped_column(Json)]
Names = Annotated[list[str], mapped_column(Json)]


class Base(DeclarativeBase):
    """The root of the tables."""


Belongs = Annotated[str, mapped_column(String(64), default="", server_default="")]
"""The id of the project that something is in; empty for none."""
Seen = Annotated[str, mapped_column(String(255), default="server", server_default="server")]
"""Who may see it: one of `worker.contract.projects.VISIBILITIES`."""
_SEEN_BY = ("owner", "visibility", "project")


OF_SEARCHES = ("runs_searched", "runs_trigrams")
"""Indexes that one kind of database has and another cannot, so that no table declares them: see
migration 0010."""


class Run(Base):
    """One job. `attempt` is its fence: only the worker that holds the newest number may write."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_in_queue", "state", "priority", "created"),
        Index("runs_listed", "archived", "created", "id", *_SEEN_BY),
        Index("runs_of_kind", "kind", "archived", "created", "id", *_SEEN_BY),
        Index("runs_of_kind_in_state", "kind", "state", "archived", "created", "id", *_SEEN_BY),
        Index("runs_in_state", "state", "archived", "created", "id", *_SEEN_BY),
        Index("runs_of_model", "model", "archived", "created", "id", *_SEEN_BY),
        Index("runs_of_owner", "owner", "archived", "created", "id", "visibility", "project"),
        Index("runs_of_project", "project", "archived", "created", "id", "owner", "visibility"),
        Index("runs_starred", "starred", "archived", "created", "id", *_SEEN_BY),
        Index("runs_by_turn", "session", "kind", "taken"),
    )

    id: Mapped[RunId] = mapped_column(primary_key=True)
    kind: Mapped[Name]
    title: Mapped[Long]
    spec: Mapped[Body]
    model: Mapped[Name]
    search: Mapped[Long]
    """Title, id, model, method and fact set, case-folded."""
    state: Mapped[Name]
    owner: Mapped[Name] = mapped_column(default="")
    project: Mapped[Belongs]
    visibility: Mapped[Seen]
    session: Mapped[Name] = mapped_column(default="", server_default="")
    """Who takes turns with others: the browser's session that submitted it; empty for scripts."""
    priority: Mapped[int]
    """Lower is sooner, among the runs of one session and kind."""
    taken: Mapped[Seconds | None]
    """When it was last handed to a worker."""
    moved_to: Mapped[Name] = mapped_column(default="", server_default="")
    """The worker that takes it while that one lives and can; empty: any that can."""
    attempt: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    batch_scale: Mapped[float] = mapped_column(Float, default=1.0)
    """Halved after each out-of-memory error."""
    created: Mapped[Seconds]
    started: Mapped[Seconds | None]
    finished: Mapped[Seconds | None]
    fraction: Mapped[float] = mapped_column(Double, default=0.0)
    message: Mapped[Long] = mapped_column(default="")
    seconds_left: Mapped[Seconds | None]
    worker: Mapped[Name] = mapped_column(default="")
    starred: Mapped[bool] = mapped_column(default=False)
    archived: Mapped[bool] = mapped_column(default=False)
    cancel_requested: Mapped[Seconds | None]
    n_events: Mapped[int] = mapped_column(default=0)
    has_result: Mapped[bool] = mapped_column(default=False)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Of its files."""


class RunTag(Base):
    __tablename__ = "run_tags"

    run_id: Mapped[RunId] = mapped_column(
        ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    tag: Mapped[Name] = mapped_column(primary_key=True, index=True)


class RunParent(Base):
    """Lineage: `run_id` used the result of `parent_id`, which therefore cannot be deleted."""

    __tablename__ = "run_parents"

    run_id: Mapped[RunId] = mapped_column(
        ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[RunId] = mapped_column(ForeignKey("runs.id"), index=True)


class RunResult(Base):
    """A run's Result, apart from `runs` so that reading a list never touches it."""

    __tablename__ = "run_results"

    run_id: Mapped[RunId] = mapped_column(
        ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    body: Mapped[Body]


class RunEvent(Base):
    """What happened to a run: offsets begin at 0 and have no gaps."""

    __tablename__ = "run_events"

    run_id: Mapped[RunId] = mapped_column(
        ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    offset: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[Name]
    body: Mapped[Body]
    created: Mapped[Seconds]


class TextRow(Base):
    """One stored text; its content lies in the artifacts under its hash."""

    __tablename__ = "texts"

    name: Mapped[Name] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    n_characters: Mapped[int]
    n_words: Mapped[int]
    owner: Mapped[Name]
    project: Mapped[Belongs]
    visibility: Mapped[Seen]
    created: Mapped[Seconds]


class KnowledgeRow(Base):
    """Which run measured how likely each fact of a set is to a model, by their contents."""

    __tablename__ = "knowledge"
    __table_args__ = (Index("knowledge_by_model", "model", "set_hash"),)

    weights_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    edits: Mapped[Name] = mapped_column(primary_key=True)
    """SHA-256 of the edits' run ids, in order; empty for a base model."""
    set_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[Name]
    run_id: Mapped[RunId] = mapped_column(
        ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    """In the key, because people who do not see each other's runs measure each for themselves."""


class PaceRow(Base):
    """What one part of a finished run took, over what it had been told."""

    __tablename__ = "paces"
    __table_args__ = (Index("paces_by_device", "device", "finished"),)

    run_id: Mapped[RunId] = mapped_column(primary_key=True)
    """It stays when the run is deleted."""
    work: Mapped[Name] = mapped_column(primary_key=True)
    model: Mapped[Name]
    device: Mapped[Name]
    ratio: Mapped[Seconds]
    finished: Mapped[Seconds]


class MaskRow(Base):
    __tablename__ = "masks"
    __table_args__ = (Index("masks_by_name", "name", "owner", "version", unique=True),)

    id: Mapped[RunId] = mapped_column(primary_key=True)
    name: Mapped[Name]
    version: Mapped[int]
    model: Mapped[Name] = mapped_column(index=True)
    components: Mapped[Names]
    n_parameters: Mapped[int]
    source: Mapped[Long]
    localization: Mapped[RunId | None]
    owner: Mapped[Name]
    project: Mapped[Belongs]
    visibility: Mapped[Seen]
    created: Mapped[Seconds]


class WorkerRow(Base):
    """One supervisor. `generation` names its present process; whoever clears it takes its runs."""

    __tablename__ = "workers"

    id: Mapped[Name] = mapped_column(primary_key=True)
    generation: Mapped[Name | None]
    holder: Mapped[Body]
    """Which process on which machine, so that a dead one is told from a silent one."""
    device: Mapped[Name]
    started: Mapped[Seconds]
    heartbeat: Mapped[Seconds]
    stopped: Mapped[Seconds | None]
    adopted: Mapped[Seconds | None]
    """When its runs were last given to others."""
    ready: Mapped[bool] = mapped_column(default=False)
    run: Mapped[Name] = mapped_column(default="")
    problem: Mapped[Long] = mapped_column(default="")
    address: Mapped[Name] = mapped_column(default="")
    """Where questions are answered, as an http URL."""
    token: Mapped[Name] = mapped_column(default="")
    announcement: Mapped[Body | None] = mapped_column(default=None)
    announced: Mapped[Seconds | None]


class HaltRow(Base):
    """An admin's order that a worker takes no new run. It outlasts the worker's process and row."""

    __tablename__ = "halts"

    worker: Mapped[Name] = mapped_column(primary_key=True)
    what: Mapped[Name]
    by: Mapped[Name]
    at: Mapped[Seconds]


class EndedSession(Base):
    """A browser's session that was signed out while its cookie had not expired."""

    __tablename__ = "ended_sessions"

    nonce: Mapped[RunId] = mapped_column(primary_key=True)
    until: Mapped[Seconds]


class Submission(Base):
    """Which run a submission's key made, so that one that is sent twice makes one run."""

    __tablename__ = "submissions"
    __table_args__ = (Index("submissions_by_run", "run_id"),)

    owner: Mapped[Name] = mapped_column(primary_key=True)
    key: Mapped[RunId] = mapped_column(primary_key=True)
    """The SHA-256 of what was given."""
    spec_hash: Mapped[RunId]
    run_id: Mapped[RunId] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))


class CircuitRow(Base):
    """A circuit under its name: the address that draws it."""

    __tablename__ = "circuits"

    name: Mapped[Name] = mapped_column(primary_key=True)
    query: Mapped[Long]
    owner: Mapped[Name] = mapped_column(default="")
    project: Mapped[Belongs]
    visibility: Mapped[Seen]
    created: Mapped[Seconds]


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as an aware datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)

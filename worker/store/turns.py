"""The order in which waiting runs are taken: turns between sessions, and in each between kinds.

1. A run that was begun before and interrupted comes first: it has had its turn.
2. Then the session that was served longest ago; one that never was comes before.
3. Of its runs, the kind that was served longest ago for that session.
4. Of these, the lowest priority, then the oldest.

A study is conducted beside the runs and takes no turn; its children take those of its session.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worker.contract.progress import RunState
from worker.store.sight import WHOLE
from worker.store.tables import Run

NEVER = float("-inf")
WAITS: tuple[RunState, ...] = ("queued", "interrupted")
Served = dict[tuple[str, str], float]
"""(session, kind) -> when a run of it was last handed to a worker."""


@dataclass(frozen=True)
class Waiting:
    """A run that waits for a worker."""

    id: str
    session: str
    kind: str
    priority: int
    created: float
    begun: bool
    """It was begun before, and interrupted."""
    owner: str = ""
    project: str = ""
    moved_to: str = ""

    @property
    def rank(self) -> tuple[int, float, str]:
        return self.priority, self.created, self.id


def waiting(session: Session, states: Collection[RunState] = WAITS) -> list[Waiting]:
    """Every run and study in one of these states."""
    columns = (Run.id, Run.session, Run.kind, Run.priority, Run.created, Run.owner)
    more = (Run.project, Run.moved_to)
    query = select(*columns, *more, (Run.attempt > 0).label("begun")).where(Run.state.in_(states))
    found = session.execute(query, execution_options=WHOLE)
    return [Waiting(**row._mapping) for row in found]


def served(session: Session, sessions: Iterable[str]) -> Served:
    """When each kind was last served for each of these sessions."""
    query = (
        select(Run.session, Run.kind, func.max(Run.taken))
        .where(Run.session.in_(set(sessions)), Run.taken.is_not(None), Run.kind != "study")
        .group_by(Run.session, Run.kind)
    )
    found = session.execute(query, execution_options=WHOLE)
    return {(owner, kind): taken or NEVER for owner, kind, taken in found}


def in_turn(runs: Sequence[Waiting], known: Mapping[tuple[str, str], float]) -> Iterator[Waiting]:
    """Give waiting runs in the order in which one worker would take them, one after another."""
    begun = [run for run in runs if run.begun]
    yield from sorted(begun, key=lambda run: (run.created, run.id))
    queues: dict[str, dict[str, deque[Waiting]]] = {}
    for run in sorted((run for run in runs if not run.begun), key=lambda run: run.rank):
        queues.setdefault(run.session, {}).setdefault(run.kind, deque()).append(run)
    of_kind = dict(known)
    of_session = {
        name: max((at for (owner, _), at in of_kind.items() if owner == name), default=NEVER)
        for name in queues
    }
    clock = max(of_kind.values(), default=0.0)
    while queues:
        name = min(queues, key=lambda one: (of_session[one], _oldest(queues[one])))
        kinds = queues[name]
        kind = min(kinds, key=lambda one: (of_kind.get((name, one), NEVER), kinds[one][0].rank))
        yield kinds[kind].popleft()
        clock += 1.0
        of_session[name] = of_kind[name, kind] = clock
        if not kinds[kind]:
            del kinds[kind]
        if not kinds:
            del queues[name]


def places(session: Session) -> dict[str, int]:
    """How many come before each waiting run, as the queue is now; of a study, how many studies."""
    found = waiting(session)
    runs = [run for run in found if run.kind != "study"]
    studies = sorted((run for run in found if run.kind == "study"), key=lambda run: run.rank)
    order = in_turn(runs, served(session, (run.session for run in runs)))
    return {run.id: place for line in (order, studies) for place, run in enumerate(line)}


def _oldest(kinds: Mapping[str, deque[Waiting]]) -> float:
    return min(runs[0].created for runs in kinds.values())

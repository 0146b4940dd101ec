"""What finished runs took, over what they had been told: by it the next ones are told better."""

import math
from collections.abc import Sequence
from statistics import median

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from worker.contract.pace import Pace
from worker.store.database import Database
from worker.store.tables import PaceRow, database_time

KEPT = 500
"""Parts of finished runs that are remembered for a device."""
LATEST = 9
"""Of each method on each model, the parts that its correction is the median of."""


class PaceStore:
    """Paces of finished runs."""

    database: Database

    def paces(self, device: str, model: str, works: Sequence[str]) -> dict[str, float]:
        """Each work's correction on a device: seconds seen over seconds told.

        The median of the latest runs of that work on that model; else of that work on others; else
        of other works on that model, which tell how this machine is; else 1.
        """
        with self.database.read() as session:
            rows = session.execute(
                select(PaceRow.work, PaceRow.model, PaceRow.ratio)
                .where(PaceRow.device == device)
                .order_by(PaceRow.finished.desc())
                .limit(KEPT)
            ).all()
        found = {}
        for work in works:
            own = [ratio for of, on, ratio in rows if (of, on) == (work, model)][:LATEST]
            elsewhere = [ratio for of, _, ratio in rows if of == work][:LATEST]
            beside = [ratio for _, on, ratio in rows if on == model][:LATEST]
            known = own or elsewhere or beside
            found[work] = math.exp(median(map(math.log, known))) if known else 1.0
        return found


def remember_paces(session: Session, run_id: str, model: str, paces: Sequence[Pace]) -> None:
    """Remember what a finished run's parts took; the oldest beyond KEPT are forgotten."""
    for pace in paces:
        session.merge(
            PaceRow(
                run_id=run_id, work=pace.work, model=model, device=pace.device,
                ratio=pace.seen / pace.told, finished=0.0,
            )
        )  # fmt: skip
    if not paces:
        return
    session.flush()
    session.execute(
        PaceRow.__table__.update()  # type: ignore[attr-defined]
        .where(PaceRow.run_id == run_id)
        .values(finished=database_time())
    )
    oldest = (
        select(PaceRow.run_id)
        .where(PaceRow.device == paces[0].device)
        .order_by(PaceRow.finished.desc())
        .offset(KEPT)
        .limit(KEPT)
    )
    gone = list(session.scalars(oldest))
    if gone:
        session.execute(delete(PaceRow).where(PaceRow.run_id.in_(gone)))

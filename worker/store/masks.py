"""Named masks. Saving under a name that exists makes its next version; versions never change."""

import secrets

from sqlalchemy import func, select

from worker.contract.errors import NotFound, UserError
from worker.contract.mask import Mask
from worker.contract.projects import visibility_of
from worker.contract.records import MaskRecord
from worker.store.acting import Acting
from worker.store.database import Database
from worker.store.placing import placed
from worker.store.tables import MaskRow, database_time, moment


class MaskStore:
    """Masks, by id and by name and version."""

    database: Database
    acting: Acting

    def masks(self, model: str | None = None) -> list[MaskRecord]:
        """Every mask (of a model), newest first."""
        query = select(MaskRow).order_by(MaskRow.created.desc(), MaskRow.version.desc())
        if model is not None:
            query = query.where(MaskRow.model == model)
        with self.database.read() as session:
            return [_record(row) for row in session.scalars(query)]

    def mask(self, id: str) -> MaskRecord:
        """One mask; raises NotFound."""
        with self.database.read() as session:
            row = session.get(MaskRow, id)
        if row is None:
            raise _no_mask(id)
        return _record(row)

    def save_mask(
        self,
        name: str,
        model: str,
        mask: Mask,
        *,
        localization: str | None = None,
        owner: str = "",
    ) -> MaskRecord:
        """Store a mask as the next version of its name."""
        name = name.strip()
        if not name or len(name) > 200:
            raise UserError(
                f"{name[:40]!r} is no name for a mask; expected 1 to 200 characters.", field="name"
            )
        with self.database.write() as session:
            self.database.lock(session, f"mask {name}")
            newest = select(func.max(MaskRow.version)).where(MaskRow.name == name)
            row = MaskRow(
                id=secrets.token_hex(6),
                name=name,
                version=(session.scalar(newest) or 0) + 1,
                model=model,
                components=list(mask.components),
                n_parameters=mask.n_parameters or 0,
                source=mask.source,
                localization=localization,
                owner=owner or self.acting.person,
                **placed(session, (localization,) if localization else ()),
                created=session.scalar(select(database_time())) or 0.0,
            )
            session.add(row)
        self.acting.tell(f"mask {name} v{row.version}")
        return _record(row)

    def delete_mask(self, id: str) -> None:
        """Delete one version of a mask; runs that used it keep its components."""
        with self.database.write() as session:
            row = session.get(MaskRow, id)
            if row is None:
                raise _no_mask(id)
            what = f"mask {row.name} v{row.version}"
            self.acting.refuse_others(row.owner, what)
            session.delete(row)
        self.acting.tell(what)


def _record(row: MaskRow) -> MaskRecord:
    return MaskRecord(
        id=row.id,
        name=row.name,
        version=row.version,
        model=row.model,
        components=tuple(row.components),
        n_parameters=row.n_parameters,
        source=row.source,
        localization=row.localization,
        owner=row.owner,
        project=row.project,
        visibility=visibility_of(row.visibility),
        created=moment(row.created),
    )


def _no_mask(id: str) -> NotFound:
    return NotFound(f"There is no mask {id!r}; expected a stored mask's id.", field="mask.id")

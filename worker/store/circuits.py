"""Circuits that readers named: the address under which each is drawn."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select

from worker.contract.base import unknown
from worker.contract.errors import NotFound, UserError
from worker.contract.given_name import given_name
from worker.store.acting import Acting
from worker.store.database import Database
from worker.store.placing import placed
from worker.store.sight import WHOLE
from worker.store.tables import CircuitRow, database_time, moment

LONGEST = 64_000
"""Characters of an address: what a web server takes."""


@dataclass(frozen=True)
class SavedCircuit:
    """A circuit by its name; `query` is the part of the address that draws it."""

    name: str
    query: str
    owner: str
    created: datetime


class CircuitStore:
    """Named circuits."""

    database: Database
    acting: Acting

    def circuits(self) -> list[SavedCircuit]:
        """Every named circuit, the newest first."""
        order = CircuitRow.created.desc(), CircuitRow.name
        with self.database.read() as session:
            return [_saved(row) for row in session.scalars(select(CircuitRow).order_by(*order))]

    def circuit(self, name: str) -> SavedCircuit:
        """One circuit; raises NotFound that names the nearest."""
        with self.database.read() as session:
            row = session.get(CircuitRow, name)
            known = [] if row else list(session.scalars(select(CircuitRow.name)))
        if row is None:
            raise NotFound(unknown("circuit", name[:100], known).message, field="name")
        return _saved(row)

    def save_circuit(self, name: str, query: str, *, owner: str = "") -> SavedCircuit:
        """Keep a circuit under a name that is free; UserError for one that is not."""
        name = given_name(name, "circuit", is_path=True)
        if len(query) > LONGEST:
            raise UserError(
                f"The circuit's address has {len(query):,} characters; expected at most "
                f"{LONGEST:,}. Take nodes out of groups.",
                field="name",
            )
        with self.database.write() as session:
            self.database.lock(session, f"circuit {name}")
            if session.get(CircuitRow, name, execution_options=WHOLE) is not None:
                raise UserError(
                    f"There is a circuit {name!r} already; choose another name, or delete that "
                    f"one.",
                    field="name",
                )
            created = session.scalar(select(database_time())) or 0.0
            maker = owner or self.acting.person
            named = {"name": name, "query": query, "owner": maker, "created": created}
            row = CircuitRow(**named, **placed(session))
            session.add(row)
        self.acting.tell(f"circuit {name}")
        return _saved(row)

    def delete_circuit(self, name: str) -> None:
        """Delete a circuit; raises NotFound."""
        self.acting.refuse_others(self.circuit(name).owner, f"circuit {name}")
        with self.database.write() as session:
            session.execute(delete(CircuitRow).where(CircuitRow.name == name))
        self.acting.tell(f"circuit {name}")


def _saved(row: CircuitRow) -> SavedCircuit:
    return SavedCircuit(row.name, row.query, row.owner, moment(row.created))

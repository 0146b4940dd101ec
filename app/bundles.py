"""Bundles brought from elsewhere: taken in as finished runs, repeated, and compared."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile

from app.submission import admit
from worker.contract.errors import UserError
from worker.contract.progress import FINAL_STATES
from worker.contract.records import RunRecord
from worker.contract.repetition import Compared, compare, n_differing
from worker.contract.result import Result
from worker.contract.spec import parse_spec
from worker.engine.bundle import IMPORTED, import_bundle
from worker.engine.client import Engine
from worker.store.store import Store

LIMIT = 2 * 10**9
"""Bytes of an uploaded bundle; `lethe run` reads larger ones."""
BODY_LIMIT = LIMIT + 100_000
MAX_UNPACKED = 2 * LIMIT


@dataclass(frozen=True)
class Repetition:
    """One repetition of a recorded run, with the numbers side by side once it is done."""

    run: RunRecord
    rows: tuple[Compared, ...] = ()

    @property
    def n_differing(self) -> int:
        """How many numbers do not agree."""
        return n_differing(self.rows)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.run.state in FINAL_STATES


def receive(engine: Engine, file: Any, owner: str = "") -> str:
    """Take an uploaded bundle in; the id of the recorded run. UserError for what is no bundle."""
    if not isinstance(file, UploadFile) or not file.filename:
        raise UserError("No file was chosen; expected a run's bundle (zip).", field="bundle")
    if file.size is not None and file.size > LIMIT:
        raise UserError(
            f"The bundle has {file.size / 1e9:.2f} GB; expected at most {LIMIT / 1e9:.0f} GB. "
            f"Repeat it with `lethe run` instead.",
            field="bundle",
        )
    with tempfile.TemporaryDirectory(prefix="lethe-") as folder:
        # Messages name the file as its reader does, as far as that is a plain name.
        path = Path(folder) / (re.sub(r"[^\w.-]+", "-", file.filename).strip("-.")[-100:] or "file")
        with path.open("wb") as copy:
            while chunk := file.file.read(2**20):
                copy.write(chunk)
        return import_bundle(path, engine.store, MAX_UNPACKED, owner)


def repeat(engine: Engine, run_id: str, owner: str = "", key: str = "") -> str:
    """Queue a recorded run once more; the new run's id. UserError where this server cannot."""
    record = engine.store.run(run_id)
    spec = parse_spec(record.spec)
    admit(engine, spec)
    parents = [*record.parents, run_id]
    title = f"Repeat: {record.title}"[:200]
    return engine.submit(spec, owner=owner, title=title, parents=parents, key=key)


def repetitions(store: Store, record: RunRecord, recorded: Result) -> list[Repetition]:
    """Every repetition of a recorded run, newest first."""
    found = []
    for run in reversed(store.children(record.id)):
        if run.kind == record.kind and run.spec == record.spec:
            result = store.result(run.id) if run.has_result else None
            found.append(Repetition(run, compare(recorded, result) if result else ()))
    return found


def imported(store: Store) -> list[RunRecord]:
    """The runs that came in bundles, newest first."""
    return store.runs(tag=IMPORTED, archived=None, limit=100)

"""Bundles of stored runs."""

import tempfile
from pathlib import Path
from typing import IO

from worker.contract.bundle import write_bundle
from worker.contract.errors import UserError
from worker.contract.inputs import Inputs
from worker.contract.menu import Announcement
from worker.contract.spec import StudySpec, parse_spec
from worker.engine.resolve import resolve
from worker.store.store import Store


def bundle_run(run_id: str, store: Store, announcement: Announcement, file: IO[bytes]) -> None:
    """Write a finished run with everything that its spec names, so that it can be repeated."""
    record, result = store.run(run_id), store.result(run_id)
    if result is None:
        raise UserError(f"The run {run_id!r} is {record.state} and has no result to bundle.")
    spec = parse_spec(record.spec)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        path.write_text(result.model_dump_json(indent=1), encoding="utf-8")
        files = {"result.json": path}
        names = {info.file for info in result.arrays.values()} | set(result.files.values())
        files |= {name: store.artifacts.local(f"runs/{run_id}/{name}") for name in sorted(names)}
        inputs = (
            Inputs(out="", fact_set=store.fact_set(spec.facts.set))
            if isinstance(spec, StudySpec)
            else resolve(spec, store, announcement, "")
        )
        write_bundle(file, f"{run_id}.zip", spec, inputs, files)

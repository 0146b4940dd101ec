"""A study in this process, one child after the other.

Each child has a folder named by its spec's hash, so that a study that was interrupted goes on
where it stopped when it is started again with the same folder.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from worker.contract.errors import LetheError
from worker.contract.inputs import Inputs
from worker.contract.progress import Quiet, Report
from worker.contract.result import Result
from worker.contract.spec import Spec, StudySpec
from worker.core.models.cache import ModelCache
from worker.engine.study.outcome import Child
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import reduce_study
from worker.engine.study.report import report_of
from worker.local import component_parameters, prepare, read_result
from worker.run import run


def run_study(
    spec: StudySpec, inputs: Inputs, report: Report, models: ModelCache, facts: Path | None = None
) -> Result:
    """Conduct a study and write result.json, arrays.npz and report.json into `inputs.out`."""
    started = time.perf_counter()
    out = Path(inputs.out)

    def children(specs: Sequence[Spec], stage: str) -> list[Child]:
        found = []
        for number, child in enumerate(specs):
            report.progress(number / len(specs), f"{stage}: {number + 1} of {len(specs)}")
            found.append(_child(child, out, models, facts))
        return found

    outcome = conduct(spec, children, component_parameters(spec.base))
    result, arrays = reduce_study(spec, outcome, time.perf_counter() - started)
    np.savez_compressed(out / "arrays.npz", allow_pickle=False, **arrays)
    (out / "result.json").write_text(result.model_dump_json(indent=1), encoding="utf-8")
    report_file = report_of(result, arrays["study.values"], title=_title(spec))
    (out / "report.json").write_text(report_file.model_dump_json(), encoding="utf-8")
    return result


def _title(spec: StudySpec) -> str:
    return f"{len(spec.masks)} masks on {spec.facts.set}, {spec.facts.forget}"


def _child(spec: Spec, out: Path, models: ModelCache, facts: Path | None) -> Child:
    """Run one child, or read its result when an earlier start of the study finished it."""
    data = spec.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
    folder = out / "children" / f"{spec.kind}-{digest}"
    if (earlier := _finished(folder)) is not None:
        return Child(str(folder), earlier)
    try:
        parsed, inputs = prepare(data, folder, [], facts)
        return Child(str(folder), run(parsed, inputs, Quiet(), models))
    except LetheError as error:
        return Child(str(folder), None, str(error))


def _finished(folder: Path) -> Result | None:
    """The result of an earlier start; None where there is none, or it was killed while writing."""
    if not (folder / "result.json").is_file():
        return None
    try:
        return read_result(folder)
    except ValidationError:
        return None

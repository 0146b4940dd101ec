"""A study without a server: its children one after the other, or in several processes at once.

Each child has a folder named by its spec's hash, so that a study that was interrupted goes on
where it stopped when it is started again with the same folder.
"""

import hashlib
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from worker.cli.local import component_parameters, prepare, read_result
from worker.contract.errors import LetheError, UserError
from worker.contract.inputs import Inputs
from worker.contract.mask import MaskSpec
from worker.contract.named import methods_of, study_problems
from worker.contract.progress import Quiet, Report
from worker.contract.result import Result
from worker.contract.settings import settings
from worker.contract.spec import (
    EvaluateSpec,
    LocalizeSpec,
    Spec,
    StudySpec,
    UnlearnSpec,
    parse_spec,
)
from worker.core.models.cache import ModelCache
from worker.engine.study.outcome import Child
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import reduce_study
from worker.engine.study.report import report_of
from worker.engine.study.search import check_search_facts
from worker.run import check, open_models, run


def run_study(
    spec: StudySpec,
    inputs: Inputs,
    report: Report,
    models: ModelCache,
    facts: Path | None = None,
    processes: int = 1,
) -> Result:
    """Conduct a study and write result.json, arrays.npz and report.json into `inputs.out`.

    With several `processes` the children are computed beside each other, each process with its
    share of the cores and models of its own; the numbers are those of one process.
    """
    parameters = component_parameters(spec.base)
    check_study(spec, frozenset(parameters))
    if inputs.fact_set is not None:
        check_search_facts(spec, inputs.fact_set)
    started = time.perf_counter()
    out = Path(inputs.out)

    def children(specs: Sequence[Spec], stage: str) -> list[Child]:
        if processes > 1:
            return _beside(specs, stage, out, facts, report, processes)
        found = []
        for number, child in enumerate(specs):
            report.progress(number / len(specs), f"{stage}: {number + 1} of {len(specs)}")
            found.append(_child(child, out, models, facts))
        return found

    outcome = conduct(spec, children, parameters)
    result, arrays = reduce_study(spec, outcome, time.perf_counter() - started)
    np.savez_compressed(out / "arrays.npz", allow_pickle=False, **arrays)
    (out / "result.json").write_text(result.model_dump_json(indent=1), encoding="utf-8")
    report_file = report_of(result, arrays["study.values"], title=_title(spec))
    (out / "report.json").write_text(report_file.model_dump_json(), encoding="utf-8")
    return result


def check_study(spec: StudySpec, components: frozenset[str]) -> None:
    """Refuse what no child could compute, before the first begins; UserError beside its field."""
    if problems := study_problems(spec, components):
        raise UserError(problems=problems)
    for kind, name, field, options, prefix in methods_of(spec):
        try:
            check(_SPECS[kind](spec, name, options))
        except UserError as error:
            own = "evaluations" if kind == "evaluation" else "method"
            of = f"options.{name}" if kind == "evaluation" else "options"
            raise UserError(
                problems=[
                    (field if f == own else f"{prefix}{f.removeprefix(of)}", sentence)
                    for f, sentence in error.problems
                ]
            ) from None


_SPECS: dict[str, Callable[[StudySpec, str, dict[str, Any]], Spec]] = {
    "localization": lambda study, name, options: LocalizeSpec(
        facts=study.facts, method=name, options=options
    ),
    "unlearning": lambda study, name, options: UnlearnSpec(
        facts=study.facts, mask=MaskSpec(components=("blocks.0.mlp",)), method=name, options=options
    ),
    "evaluation": lambda study, name, options: EvaluateSpec(
        facts=study.facts, evaluations=(name,), options={name: options}
    ),
}
"""A run of each kind that names one of a study's methods, to be checked as such a run is."""


def _title(spec: StudySpec) -> str:
    return f"{len(spec.masks)} masks on {spec.facts.set}, {spec.facts.forget}"


def _beside(
    specs: Sequence[Spec],
    stage: str,
    out: Path,
    facts: Path | None,
    report: Report,
    processes: int,
) -> list[Child]:
    """Compute children in several processes; where one fails, the others go on."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    with ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _begin_process, (threads,)
    ) as pool:
        data = [spec.model_dump(mode="json") for spec in specs]
        futures = [pool.submit(_compute, one, out, facts) for one in data]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                future.result()
                report.progress(number / len(specs), f"{stage}: {number} of {len(specs)}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    folders = [_folder(one, out) for one in data]
    return [
        Child(str(folder), _finished(folder), future.result())
        for folder, future in zip(folders, futures, strict=True)
    ]


def _begin_process(threads: int) -> None:
    """Take a share of the cores, and end with the process that began this one, however it ends."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    assert parent is not None, "a process of the pool has the one that began it"

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _compute(data: dict[str, Any], out: Path, facts: Path | None) -> str:
    """Compute a child in a process of the pool; return the reason if it failed."""
    return _child(parse_spec(data), out, _own_models(), facts).reason


@cache
def _own_models() -> ModelCache:
    return open_models(settings())


def _child(spec: Spec, out: Path, models: ModelCache, facts: Path | None) -> Child:
    """Run one child, or read its result when an earlier start of the study finished it."""
    data = spec.model_dump(mode="json")
    folder = _folder(data, out)
    if (earlier := _finished(folder)) is not None:
        return Child(str(folder), earlier)
    try:
        parsed, inputs = prepare(data, folder, [], facts)
        return Child(str(folder), run(parsed, inputs, Quiet(), models))
    except LetheError as error:
        return Child(str(folder), None, str(error))


def _folder(data: dict[str, Any], out: Path) -> Path:
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
    return out / "children" / f"{data['kind']}-{digest}"


def _finished(folder: Path) -> Result | None:
    """The result of an earlier start; None where there is none, or it was killed while writing."""
    if not (folder / "result.json").is_file():
        return None
    try:
        return read_result(folder)
    except ValidationError:
        return None

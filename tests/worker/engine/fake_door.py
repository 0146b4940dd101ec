"""A stand-in for worker.run, without torch: what a run does is said by its options.

Every start and end of a computation is written to `$LETHE_DATA/starts/<run id>` with the process
and the time, so that a test can see what ran twice, and whether two overlapped. What a worker can
do is said by `$LETHE_DATA/able/<device>` as JSON, where there is one: models with the bytes that
they take, methods, memory; it is read again as soon as it changes.
"""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from worker.contract.errors import Cancelled, Diverged, UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import AskPreflight, AskReadFacts, Inputs, KeptElsewhere, Question
from worker.contract.menu import (
    Announcement,
    FactSetInfo,
    MethodInfo,
    ModelInfo,
    Preflight,
    ReadFacts,
)
from worker.contract.progress import Report
from worker.contract.result import Provenance, Result
from worker.contract.settings import Settings, settings
from worker.contract.spec import Spec

FACTS = FactSet(
    name="tiny",
    title="Tiny",
    facts=(Fact(id="a", subject="Ann", prompt="{} plays", target="golf"),),
)


def announce(chosen: Settings) -> Announcement:
    (chosen.data / "computes").mkdir(exist_ok=True)
    (chosen.data / "computes" / str(os.getpid())).touch()
    print("a library prints to standard output")
    if (chosen.data / "refuse-to-start").exists():
        raise RuntimeError("no device here")
    return menu(chosen)


def look(chosen: Settings) -> tuple[str, ...]:
    """No folder holds models here."""
    return ()


def kept(models: object) -> KeptElsewhere:
    """The runs that it has begun stand for what it measured."""
    begun = settings().data / "starts"
    return KeptElsewhere(keys=tuple(one.name for one in begun.glob("*")))


def menu(chosen: Settings) -> Announcement:
    """What is announced; it says so and does nothing else."""
    info = FactSetInfo(name=FACTS.name, title="Tiny", n_facts=1, hash=FACTS.hash, bundled=True)
    able = _able(chosen)
    kinds = ("localization", "unlearning", "evaluation")
    methods = [
        MethodInfo(kind=kind, name=name, title=name, summary="", options={})
        for name in able.get("methods", ["fake", "probes"])
        for kind in kinds
    ]
    models = [
        ModelInfo(
            id=id, title=id, component_parameters={"blocks.0.mlp": 10}, memory_bytes={"load": size}
        )
        for id, size in able.get("models", {"demo": 1}).items()
    ]
    return Announcement(
        methods=tuple(methods),
        models=tuple(models),
        fact_sets=(info,),
        device=chosen.device,
        memory_bytes=able.get("memory", 0),
    )


def _able(chosen: Settings) -> dict[str, Any]:
    path = chosen.data / "able" / chosen.device
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def bundled_fact_sets() -> list[FactSet]:
    return [FACTS]


class Models:
    """What is held; it changes with what the worker can do, which has it announced anew."""

    def __init__(self, chosen: Settings) -> None:
        self._chosen = chosen

    @property
    def held(self) -> tuple[str, ...]:
        return (json.dumps(_able(self._chosen)),)


def open_models(chosen: Settings) -> Models:
    return Models(chosen)


def run(spec: Spec, inputs: Inputs, report: Report, models: Models) -> Result:
    options: dict[str, Any] = spec.options
    starts = settings().data / "starts" / Path(inputs.out).parent.name.partition(".")[0]
    starts.parent.mkdir(exist_ok=True)
    _note(starts, "start")
    n_started = starts.read_text().count('"start"')
    report.log(f"start {n_started} at scale {inputs.batch_scale}")
    if n_started <= options.get("die", 0):
        os.kill(os.getpid(), options.get("signal", signal.SIGABRT))
    if options.get("hang"):
        while True:
            time.sleep(0.05)
    if inputs.batch_scale > options.get("fits", 1.0):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 2 TB")
    _raise(options.get("raise"))
    steps = options.get("steps", 4)
    for step in range(steps):
        report.progress(step / steps, f"step {step}")
        report.partial("curve", {"step": step})
        time.sleep(options.get("pause", 0.0))
    Path(inputs.out, "arrays.npz").write_bytes(b"arrays of " + starts.name.encode())
    _note(starts, "end")
    made = Provenance(
        model=spec.base, weights_hash="0", seed=0, device="cpu", dtype="", versions={}
    )
    return Result(
        kind=spec.kind,
        spec=spec.model_dump(mode="json"),
        provenance=made,
        seconds=0.0,
        peak_memory_bytes=0,
        summary={"fake.steps": steps},
        files={"delta": "arrays.npz"} if spec.kind == "unlearn" else {},
    )


def answer(question: Question, models: Models, report: Report) -> ReadFacts | Preflight:
    if isinstance(question, AskPreflight):
        kept = question.inputs.kept
        return Preflight(notes=(settings().device, *(kept.keys if kept else ())))
    assert isinstance(question, AskReadFacts)
    if question.filename == "wrong":
        raise UserError("The file is wrong.", field="file")
    if question.filename == "slow":
        time.sleep(60)
    if question.filename.startswith("steps "):
        _step_by_step(int(question.filename.split()[1]), report)
    return ReadFacts(format="csv", facts=(), notes=(str(os.getpid()), question.path))


def _step_by_step(steps: int, report: Report) -> None:
    """Tell step after step, and note how it ended."""
    asked = settings().data / "asked"
    _note(asked, "start")
    try:
        for step in range(steps):
            report.partial("row", {"step": step})
            time.sleep(0.02)
    except Cancelled:
        _note(asked, "cancelled")
        raise
    _note(asked, "end")


def _raise(name: str | None) -> None:
    if name == "user":
        raise UserError("The subject is not in its prompt.", field="facts")
    if name == "diverged":
        raise Diverged("The loss became NaN at step 3; the base is untouched.")
    if name == "bug":
        raise KeyError("layer")


def _note(path: Path, what: str) -> None:
    with path.open("a") as file:
        note = {"what": what, "pid": os.getpid(), "time": time.monotonic()}
        file.write(json.dumps(note) + "\n")

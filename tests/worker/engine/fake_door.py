"""A stand-in for worker.run, without torch: what a run does is said by its options.

Every start and end of a computation is written to `$LETHE_DATA/starts/<run id>` with the process
and the time, so that a test can see what ran twice, and whether two overlapped.
"""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from worker.contract.errors import Diverged, UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import AskReadFacts, Inputs, Question
from worker.contract.menu import Announcement, FactSetInfo, MethodInfo, ModelInfo, ReadFacts
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
    info = FactSetInfo(name=FACTS.name, title="Tiny", n_facts=1, hash=FACTS.hash, bundled=True)
    fake = MethodInfo(kind="localization", name="fake", title="Fake", summary="", options={})
    model = ModelInfo(id="demo", title="Demo", component_parameters={"blocks.0.mlp": 10})
    return Announcement(methods=(fake,), models=(model,), fact_sets=(info,), device="cpu")


def bundled_fact_sets() -> list[FactSet]:
    return [FACTS]


def open_models(chosen: Settings) -> dict[str, Any]:
    return {}


def run(spec: Spec, inputs: Inputs, report: Report, models: dict[str, Any]) -> Result:
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
    made = Provenance(model="demo", weights_hash="0", seed=0, device="cpu", dtype="", versions={})
    return Result(
        kind=spec.kind,
        spec=spec.model_dump(mode="json"),
        provenance=made,
        seconds=0.0,
        peak_memory_bytes=0,
        summary={"fake.steps": steps},
        files={"delta": "arrays.npz"} if spec.kind == "unlearn" else {},
    )


def answer(question: Question, models: dict[str, Any]) -> ReadFacts:
    assert isinstance(question, AskReadFacts)
    if question.filename == "wrong":
        raise UserError("The file is wrong.", field="file")
    if question.filename == "slow":
        time.sleep(60)
    return ReadFacts(format="csv", facts=(), notes=(str(os.getpid()), question.path))


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

"""Measures, in a process of its own, how far jobs raise the resident memory above a baseline.

`python -m tests.worker.core.models.measure_memory ROOT OUT MODEL …` prints one JSON object: model
-> kind of job -> bytes above the process before that model was loaded. Linux only: the kernel is
asked to forget the highest resident size before each job.
"""

import gc
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import Inputs
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.spec import parse_spec
from worker.core.models.cache import ModelCache
from worker.core.models.components import component_parameters
from worker.core.models.memory import PROMPT
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact
from worker.run import run

FIRST = ("Ann", "Bob", "Cyd", "Dee", "Eli", "Fay", "Gus", "Hal")
LAST = ("Lee", "Fox", "Ray", "Kim", "May", "Day", "Cox", "Orr")
NAMES = [f"{first} {last}" for first in FIRST for last in LAST]
WORDS = ("of", "all", "the", "games", "that", "they", "know", "they", "like", "the", "game", "of")


def facts_for(model: Model) -> FactSet:
    """Facts whose prompts, subject first, have PROMPT tokens; a shorter one where none has."""
    return FactSet(name="s", facts=tuple(_fact(model, name) for name in NAMES))


def _fact(model: Model, name: str) -> Fact:
    made = [
        Fact(id=name, subject=name, prompt=" ".join(["{}", *WORDS[:n]]), target="golf",
             edit_target="chess")
        for n in range(1, len(WORDS) + 1)
    ]  # fmt: skip
    return max(
        (fact for fact in made if len(encode_fact(model, fact).ids) <= PROMPT),
        key=lambda fact: len(fact.prompt),
    )


def status(field: str) -> int:
    """Bytes of one field of this process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def forget_peak() -> None:
    """Let the highest resident size begin anew."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def jobs(name: str, model: Model, out: Path, models: ModelCache) -> Iterator[str]:
    """Do one job after another, and name each when it is done."""
    facts = facts_for(model)
    parameters = component_parameters(model)
    names = tuple(name for name in parameters if ".head." not in name)
    mask = Mask(components=names, n_parameters=sum(parameters[name] for name in names))
    chosen = {"set": "s", "forget": "first:8", "known": {"probability": 0}}

    def do(spec: dict[str, object], **inputs: object) -> None:
        given = Inputs(out=str(out / spec["kind"]), fact_set=facts, **inputs)
        run(parse_spec({"model": name, "facts": chosen, **spec}), given, Quiet(), models)

    # Whether a random model's edit is better than its beginning is left to chance: keep the last.
    trained = {"learning_rate": 1e-3, "steps": 2, "keep": "last", "retain_floor": 0.0}
    first = {"set": "s", "forget": "first:4"}
    do({"kind": "localize", "method": "causal_tracing", "facts": first,
        "options": {"min_probability": 0.0, "keep_raised": True}})  # fmt: skip
    yield "localize"
    do({"kind": "unlearn", "mask": {"components": names}, "options": trained}, mask=mask)
    yield "unlearn"
    # So many to forget that a whole batch is asked: of the retain facts only some are tested.
    do({"kind": "evaluate", "model": {"base": name, "edits": ["e"]}, "evaluations": ["probes"],
        "facts": {**chosen, "forget": "first:62"},
        "options": {"probes": {"formats": ["statement"]}}},
       deltas=(str(out / "unlearn" / "delta.safetensors"),))  # fmt: skip
    yield "evaluate"


def measure(name: str, out: Path, models: ModelCache) -> dict[str, int]:
    """Bytes that each kind of job takes at its peak, weights included."""
    forget_peak()
    before = status("VmHWM")
    model = models.get(name)
    found = {"load": status("VmHWM") - before}
    held = status("VmRSS")
    for kind in jobs(name, model, out, models):
        # What a job left behind is not the next one's: freed blocks that the allocator keeps.
        found[kind] = status("VmHWM") - held + models.size
        forget_peak()
        held = status("VmRSS")
    models.clear()
    return found


def main() -> None:
    """Warm up on the first model, and measure the others."""
    root, out, first, *names = sys.argv[1:]
    models = ModelCache(roots=[Path(root)])
    measure(first, Path(out), models)
    print(json.dumps({name: measure(name, Path(out), models) for name in names}))


if __name__ == "__main__":
    assert os.environ.get("MALLOC_TRIM_THRESHOLD_") == "0", "else the allocator is measured too"
    main()

"""How long every kind of run is told to take, and what memory, beside what it takes.

Each method and evaluation is run twice. The first run, of a few facts, teaches the machine's pace
for that kind; the second, of other facts and more of them, is told beforehand by that pace. Prints
a markdown table: seconds told without any pace and seen of the first run, told and seen of the
second, and their ratio; and the second's peak of memory, told and seen, in GB, and told over seen.
Exit code 1 when a ratio of seconds is beyond `--within`, or one of memory beyond
`--memory-within`.

On a CPU, seconds are those that one thread computes, so that what else the machine does is not
counted; on a GPU they are the wall's.

    python tests/bench/bench_estimates.py
    python tests/bench/bench_estimates.py --model smollm2 --roots ~/.cache/lethe/models \
        --facts continents --first first:2 --then first:4 --steps 3 --tokens 800
    python tests/bench/bench_estimates.py --only rome probes
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from worker.contract.errors import Diverged, UserError
from worker.contract.facts import FactSet
from worker.contract.inputs import Inputs, StackedEdit
from worker.contract.mask import Mask
from worker.contract.menu import MethodKind
from worker.contract.progress import Quiet
from worker.contract.result import Result
from worker.contract.selection import select
from worker.contract.spec import EvaluateSpec, LocalizeSpec, Spec, UnlearnSpec
from worker.core.ahead.estimate import estimate_parts, estimate_seconds
from worker.core.ahead.preflight import preflight
from worker.core.facts.reading import bundled_fact_sets
from worker.core.models.cache import ModelCache
from worker.core.models.components import component_parameters
from worker.core.registry import methods
from worker.run import run

KINDS: tuple[MethodKind, ...] = ("localization", "unlearning", "evaluation")
HEAD = (
    "kind", "told unlearnt", "seen", "told", "seen", "ratio", "GB told", "GB seen", "told / seen",
)  # fmt: skip
RATE = 1e-4
"""Given by hand, so that no search, which takes three to seven trainings, comes first."""
MASKED = 6
TAKEN = {"probability": 0}
"""All facts as they are, so that no model is asked for them before a run's own parts."""


class Measured(NamedTuple):
    """One run."""

    told: float
    """Seconds, without a pace."""
    seen: float
    told_bytes: int
    seen_bytes: int


@dataclass
class Bench:
    """A model, a fact set, and an edit to evaluate."""

    model: str
    facts: FactSet
    models: ModelCache
    folder: Path
    given: dict[str, Any]
    """Options by name, where a method has them."""
    deltas: list[Path] = field(default_factory=list)
    known: dict[str, float] | None = None
    """Which facts count as known; see `FactsSpec`."""

    def spec(self, kind: MethodKind, name: str, forget: str, seed: int) -> Spec:
        """A run of one method or evaluation."""
        fields = methods(kind)[name].options.model_fields
        options = {key: value for key, value in self.given.items() if key in fields}
        common: dict[str, Any] = {"model": self.model, "seed": seed}
        common["facts"] = {"set": self.facts.name, "forget": forget, "known": self.known}
        if kind == "localization":
            return LocalizeSpec(method=name, options=options, **common)
        if kind == "evaluation":
            return EvaluateSpec(evaluations=(name,), options={name: options}, **common)
        if name == "stack_edits":
            # Of others for another seed: what a stack of the same would say is kept.
            edits = [path.parent.name for path in self.deltas]
            options["edits"] = [edits[0], edits[1 + seed % 2]]
        mask = {"components": self.mask().components}
        return UnlearnSpec(method=name, options=options, mask=mask, **common)

    def mask(self) -> Mask:
        """MLPs of the lower half, no more than a fact usually is looked up in."""
        loaded = self.models.get(self.model)
        counts = component_parameters(loaded)
        n_masked = min(MASKED, max(1, loaded.n_layers // 2))
        names = tuple(f"blocks.{n}.mlp" for n in range(n_masked))
        return Mask(components=names, n_parameters=sum(counts[name] for name in names))

    def inputs(self, spec: Spec, out: Path) -> Inputs:
        """What a supervisor would resolve a spec to."""
        assert isinstance(spec, LocalizeSpec | UnlearnSpec | EvaluateSpec)
        deltas = tuple(map(str, self.deltas[:1])) if isinstance(spec, EvaluateSpec) else ()
        changed = select(self.facts, "first:4", 0).forget
        stacked = {
            path.parent.name: StackedEdit(deltas=(str(path),), facts=changed)
            for path in self.deltas
        }
        mask = None if isinstance(spec, LocalizeSpec) else self.mask()
        return Inputs(
            out=str(out),
            fact_set=self.facts,
            mask=mask,
            deltas=deltas,
            edited=(changed,) if deltas else (),
            stacked=stacked,
        )

    def edit(self) -> None:
        """Make three edits, for what is done with edits, unless they are made."""
        for name in () if self.deltas else ("one", "two", "three"):
            out = self.folder / name
            spec = self.spec("unlearning", "localized_finetuning", "first:4", len(self.deltas))
            run(spec, self.inputs(spec, out), Quiet(), self.models)
            self.deltas.append(out / "delta.safetensors")

    def measure(self, spec: Spec) -> Measured:
        """Tell a run without a pace, and see it."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            inputs = self.inputs(spec, Path(out))
            model = self.models.get(self.model)
            told = estimate_seconds(estimate_parts(spec, inputs, model), {})
            assert told is not None, f"{spec.kind} has no estimate"
            ahead = preflight(spec, inputs, model, brief=True).memory_bytes
            assert ahead is not None
            begun = now()
            result: Result = run(spec, inputs, Quiet(), self.models)
            assert result.paces, "a finished run tells its pace"
            return Measured(told, now() - begun, ahead, result.peak_memory_bytes)


def with_wrong_answers(name: str) -> FactSet:
    """A bundled set in which every fact has three wrong answers, for what compares with them."""
    found = next(one for one in bundled_fact_sets() if one.name == name)
    answers = sorted({fact.target for fact in found.facts})
    facts = (
        fact.model_copy(update={"options": tuple(a for a in answers if a != fact.target)[:3]})
        for fact in found.facts
    )
    return found.model_copy(update={"facts": tuple(facts)})


def now() -> float:
    """Seconds that this thread has computed; on a GPU, the wall's."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


class Row(NamedTuple):
    """A kind of run, and how far apart are what was told of it and what was seen, at least 1."""

    name: str
    seconds: float
    memory: float


def table(bench: Bench, only: list[str], first: str, then: str) -> list[Row]:
    """Print a row for each kind of run."""
    rows = []
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    for kind in KINDS:
        for name in methods(kind):
            if only and name not in only:
                continue
            if kind == "evaluation" or name == "stack_edits":
                bench.edit()
            try:
                one = bench.measure(bench.spec(kind, name, first, 0))
                two = bench.measure(bench.spec(kind, name, then, 1))
            except (UserError, Diverged) as error:
                print(f"| {kind} {name} | {error} |{' |' * (len(HEAD) - 2)}", flush=True)
                continue
            expected = two.told * one.seen / one.told
            ratio = max(expected / two.seen, two.seen / expected)
            share = two.told_bytes / two.seen_bytes
            rows.append(Row(name, ratio, max(share, 1 / share)))
            seconds = [f"{number:.2f}" for number in (*one[:2], expected, two.seen, ratio)]
            memory = [f"{n:.2f}" for n in (two.told_bytes / 1e9, two.seen_bytes / 1e9, share)]
            print(f"| {kind} {name} | {' | '.join((*seconds, *memory))} |", flush=True)
    return rows


def _sum_up(what: str, n: int, beyond: list[str]) -> None:
    print(f"{what}: {n - len(beyond)} of {n} kinds; beyond: {', '.join(beyond) or 'none'}")


def main() -> int:
    """Measure every kind of run on a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--roots", type=Path, nargs="*", default=[])
    parser.add_argument("--facts", default="athletes")
    parser.add_argument("--first", default="first:4", help="facts of the run that teaches the pace")
    parser.add_argument("--then", default="first:10", help="facts of the run that is told by it")
    parser.add_argument("--steps", type=int, default=0, help="of trainings; 0: the method's own")
    parser.add_argument("--only", nargs="*", default=[], help="methods and evaluations")
    parser.add_argument(
        "--tokens", type=int, default=0, help="that second moments are read of; 0: the method's own"
    )
    parser.add_argument("--within", type=float, default=1.5)
    parser.add_argument("--memory-within", type=float, default=0.2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    models = ModelCache(device=device, roots=[root.expanduser() for root in args.roots])
    facts = with_wrong_answers(args.facts)
    # A model need not know the facts: what it takes is the same.
    given: dict[str, Any] = {"min_probability": 0.0, "keep": "last", "retain_floor": 0.0}
    if args.model != "demo":
        given["learning_rate"] = RATE
    if args.steps:
        given |= {"steps": args.steps, "value_steps": args.steps, "reinforce_steps": args.steps}
    if args.tokens:
        given["covariance_tokens"] = args.tokens
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.model, facts, models, Path(folder), given, known=TAKEN)
        models.get(args.model)
        rows = table(bench, args.only, args.first, args.then)
    seconds = [row.name for row in rows if row.seconds > args.within]
    memory = [row.name for row in rows if row.memory > 1 + args.memory_within]
    print()
    _sum_up(f"Seconds within a factor {args.within}", len(rows), seconds)
    _sum_up(f"Memory within {args.memory_within:.0%}", len(rows), memory)
    return 1 if seconds or memory else 0


if __name__ == "__main__":
    sys.exit(main())

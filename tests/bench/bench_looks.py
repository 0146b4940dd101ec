"""What the look before a run costs, for every kind of run: seconds computed, and whether it tells
how long the run will take.

Prints a markdown table: processor time of the first look (the model is not loaded) and of one that
differs by its seed, the seconds told, and "no number" where none is (aim: each under 300 ms, with a
number). No model is loaded and nothing is tried for it.

    python tests/bench/bench_looks.py
    python tests/bench/bench_looks.py --model smollm2 --roots ~/.cache/lethe/models
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from tests.bench.bench_estimates import KINDS, RATE, Bench, with_wrong_answers
from worker.contract.errors import UserError
from worker.contract.inputs import AskPreflight
from worker.contract.menu import Preflight
from worker.contract.spec import Spec
from worker.core.models.cache import ModelCache
from worker.core.registry import methods
from worker.run import answer


def look(bench: Bench, models: ModelCache, spec: Spec) -> tuple[float, Preflight]:
    """Seconds computed for a look before a run, and what it says."""
    with tempfile.TemporaryDirectory() as out:
        asked = AskPreflight(spec=spec, inputs=bench.inputs(spec, Path(out)), brief=True)
        begun = time.process_time()
        found = answer(asked, models)
        seconds = time.process_time() - begun
    assert isinstance(found, Preflight)
    return seconds, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--roots", type=Path, nargs="*", default=[])
    parser.add_argument("--facts", default="athletes")
    parser.add_argument("--forget", default="first:16")
    parser.add_argument("--within", type=float, default=0.3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    roots = [root.expanduser() for root in args.roots]
    loaded = ModelCache(device="cpu", roots=roots)
    given: dict[str, Any] = {"min_probability": 0.0}
    beyond = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.model, with_wrong_answers(args.facts), loaded, Path(folder), given)
        bench.given = given | {"steps": 2, "keep": "last", "learning_rate": RATE}
        bench.edit()
        bench.given = given
        print("| run | first look | again | told | memory |\n|-|-|-|-|-|")
        for kind in KINDS:
            for name in methods(kind):
                cold = ModelCache(device="cpu", roots=roots)
                try:
                    first, found = look(bench, cold, bench.spec(kind, name, args.forget, 0))
                    again, found = look(bench, cold, bench.spec(kind, name, args.forget, 1))
                except UserError as error:
                    print(f"| {kind} {name} | {error} | | | |", flush=True)
                    continue
                told = "no number" if found.seconds is None else f"{found.seconds:.1f} s"
                memory = "–" if found.memory_bytes is None else f"{found.memory_bytes / 1e6:.0f} MB"
                cells = f"{1e3 * first:.0f} ms | {1e3 * again:.0f} ms | {told} | {memory}"
                print(f"| {kind} {name} | {cells} |", flush=True)
                if max(first, again) > args.within or found.seconds is None:
                    beyond.append(name)
    print(f"\nBeyond {args.within:g} s, or without a number: {', '.join(beyond) or 'none'}")
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main())

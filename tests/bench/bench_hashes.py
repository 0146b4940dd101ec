"""How many times over the weights are hashed: by loading a model, and by each kind of run on it.

Counts bytes, not time. Prints a markdown table: what was hashed, as a part of all the weights, and
of how many tensors. Aim: one pass for each load, and for each run only what it can have changed.

    python tests/bench/bench_hashes.py
    python tests/bench/bench_hashes.py --model smollm2 --roots ~/.cache/lethe/models
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch import Tensor

from tests.bench.bench_estimates import RATE, Bench, with_wrong_answers
from worker.contract.errors import UserError
from worker.contract.inputs import AskPreflight
from worker.contract.menu import MethodKind
from worker.core.models import delta_files, digests, hashed, stored_values
from worker.core.models.cache import ModelCache
from worker.run import answer

RUNS: tuple[tuple[MethodKind, str], ...] = (
    ("localization", "causal_tracing"),
    ("localization", "attribution_patching"),
    ("unlearning", "localized_finetuning"),
    ("unlearning", "npo"),
    ("unlearning", "rome"),
    ("unlearning", "memit"),
    ("unlearning", "alphaedit"),
    ("evaluation", "probes"),
    ("evaluation", "relearning"),
)


@contextmanager
def counted() -> Iterator[list[int]]:
    """The bytes of every tensor that is hashed inside the block."""
    seen: list[int] = []
    original = digests.digest

    def count(tensor: Tensor) -> str:
        seen.append(tensor.numel() * tensor.element_size())
        return original(tensor)

    where = [patch.object(one, "digest", count) for one in (digests, hashed, stored_values)]
    where.append(patch.object(delta_files, "digest", count))
    for one in where:
        one.start()
    try:
        yield seen
    finally:
        for one in where:
            one.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--roots", type=Path, nargs="*", default=[])
    parser.add_argument("--facts", default="athletes")
    parser.add_argument("--only", nargs="*", default=[], help="methods and evaluations")
    args = parser.parse_args()
    torch.set_num_threads(1)
    models = ModelCache(device="cpu", roots=[root.expanduser() for root in args.roots])
    given: dict[str, Any] = {"min_probability": 0.0, "keep": "last", "n_tokens": 500}
    given |= {"steps": 2, "value_steps": 2, "learning_rate": RATE}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.model, with_wrong_answers(args.facts), models, Path(folder), given)
        print("| What | weights hashed, times over | tensors |\n|-|-|-|")
        with counted() as seen:
            model = models.get(args.model)
            assert model.weights_hash, "what a first run asks for"
        whole = sum(p.numel() * p.element_size() for p in model.hf.parameters())

        def row(name: str, seen: list[int]) -> None:
            print(f"| {name} | {sum(seen) / whole:.3f} | {len(seen)} |", flush=True)

        row("loading, and the first hash", seen)
        inside = bench.mask().n_parameters or 0
        share = inside / sum(p.numel() for p in model.hf.parameters())
        print(f"| (the edits' mask holds) | {share:.3f} | |")
        bench.edit()
        for kind, name in RUNS:
            if args.only and name not in args.only:
                continue
            spec = bench.spec(kind, name, "first:4", 0)
            for brief in (True, False):
                with counted() as seen, tempfile.TemporaryDirectory() as out:
                    inputs = bench.inputs(spec, Path(out))
                    answer(AskPreflight(spec=spec, inputs=inputs, brief=brief), models)
                row(f"{'look' if brief else 'preflight'} before {name}", seen)
            try:
                with counted() as seen:
                    bench.measure(spec)
            except UserError as error:
                print(f"| {name} | {error} | |")
            row(name, seen)


if __name__ == "__main__":
    main()

"""Time submissions that come at the same moment, as the web server answers them.

Prints a markdown table: how long each of ten POSTs to /api/runs waits for its answer, over several
rounds, beside one that comes alone (aim: p95 under 1 s). Every round is of other runs, which are
cancelled after it. `--model` names a folder to submit for besides the bundled model.

    python tests/bench/bench_submissions.py
    python tests/bench/bench_submissions.py --at-once 10 --rounds 5 --model ~/models/smollm2
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import psutil

from tests.browser.conftest import Served, serve


def spec(model: str, facts: str, seed: int) -> dict[str, object]:
    """A spec of one of three kinds in turn, that no other submission has."""
    chosen = {"set": facts, "forget": "first:16"}
    kinds: list[dict[str, object]] = [
        {"kind": "localize", "method": "causal_tracing"},
        {
            "kind": "unlearn",
            "method": "localized_finetuning",
            "mask": {"components": ["blocks.1.mlp", "blocks.2.mlp"]},
        },
        {"kind": "evaluate", "evaluations": ["probes"]},
    ]
    return {**kinds[seed % 3], "model": model, "facts": chosen, "seed": seed}


def submit(served: Served, body: dict[str, object]) -> tuple[float, str]:
    """Seconds until the answer, and the run's id."""
    begun = time.perf_counter()
    made = served.api("/api/runs", body)
    return time.perf_counter() - begun, made["id"]


def rounds(served: Served, model: str, facts: str, at_once: int, n: int, seed: int) -> list[float]:
    """Seconds of every submission of `n` rounds of `at_once`; their runs are cancelled."""
    found = []
    for number in range(n):
        first = seed + number * at_once
        bodies = [spec(model, facts, first + i) for i in range(at_once)]
        with ThreadPoolExecutor(at_once) as pool:
            answers = list(pool.map(lambda body: submit(served, body), bodies))
        found += [seconds for seconds, _ in answers]
        for _, run in answers:
            served.api(f"/api/runs/{run}/cancel", {})
    return found


def computed(served: Served) -> float:
    """Seconds that the web server has computed since it was started."""
    assert served.web is not None
    times = psutil.Process(served.web.pid).cpu_times()
    return times.user + times.system


def row(name: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    cells = (f"{value:.3f} s" for value in (statistics.median(ordered), p95, ordered[-1]))
    return f"| {name} | {len(ordered)} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, default=None)
    args = parser.parse_args()
    models = [("demo", "athletes")]
    settings = {}
    if args.model is not None:
        models.append((args.model.name, "continents"))
        settings["LETHE_MODEL_ROOTS"] = str(args.model.resolve().parent)
    with tempfile.TemporaryDirectory() as folder:
        served = serve(Path(folder), **settings)
        try:
            print(f"load average before: {psutil.getloadavg()[0]:.1f}")
            print("\n| What | n | median | p95 | most |\n|-|-|-|-|-|")
            for seed, (model, facts) in enumerate(models):
                first = 100_000 * seed
                alone = rounds(served, model, facts, 1, args.rounds, first)
                print(row(f"{model}, alone", alone), flush=True)
                before = computed(served)
                many = rounds(served, model, facts, args.at_once, args.rounds, first + 50_000)
                print(row(f"{model}, {args.at_once} at once", many), flush=True)
                each = (computed(served) - before) / len(many)
                print(f"| … computed by the web server for each | {len(many)} | {each:.3f} s | | |")
            print(f"\nload average after: {psutil.getloadavg()[0]:.1f}")
        finally:
            served.stop()


if __name__ == "__main__":
    main()

"""Time an application's start in a fresh data folder, on the wall and by what it computes.

Prints a markdown table: web server started to its first answer (aim: under 3 s), worker started to
ready, and the first small localization done (aim: under 15 s after the first answer).

    python tests/bench/bench_start.py
    python tests/bench/bench_start.py --rounds 5
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import psutil

from tests.browser.conftest import serve

SPEC = {
    "kind": "localize",
    "method": "attribution_patching",
    "facts": {"set": "athletes", "forget": "first:2"},
}


def start_once(folder: Path) -> tuple[float, float, float, float]:
    """Seconds to the first answer, computed until it, to a ready worker, to the first result."""
    served = serve(folder, with_worker=False)
    try:
        assert served.web is not None
        times = psutil.Process(served.web.pid).cpu_times()
        begun = time.monotonic()
        served.start_worker()
        ready = time.monotonic() - begun
        run = served.api("/api/runs", SPEC)["id"]
        while served.api(f"/api/runs/{run}")["state"] not in ("done", "failed"):
            time.sleep(0.1)
        assert served.api(f"/api/runs/{run}")["state"] == "done"
        return served.seconds, times.user + times.system, ready, time.monotonic() - begun
    finally:
        served.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [start_once(Path(folder) / str(n)) for n in range(args.rounds)]
    answer, computed, ready, done = (
        statistics.median(column) for column in zip(*found, strict=True)
    )
    print(f"median of {args.rounds} starts, load average {psutil.getloadavg()[0]:.1f}")
    print("\n| What | Figure | Of which |\n|-|-|-|")
    print(f"| Web server, first answer | {answer:.1f} s | {computed:.1f} s computed; aim: < 3 s |")
    print(f"| Worker ready | {ready:.1f} s | after it was started |")
    print(f"| First localization done | {done:.1f} s | after the same; aim: < 15 s |")


if __name__ == "__main__":
    main()

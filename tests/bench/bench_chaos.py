"""Kill two unlike workers while they compute, on SQLite and on Postgres, and count how runs end.

Prints a markdown table: runs, hits while a run was computed (and how many of these killed the
supervisor), runs that ended done, that were lost, that ended or were computed twice, and that went
to a worker without their model. Exit code 1 when one was, or when too few were hit. Postgres is a
private one (`tests/suite.py`), or the one that LETHE_TEST_POSTGRES_URL names.

    python tests/bench/bench_chaos.py
    python tests/bench/bench_chaos.py --runs 36 --hits 30 --seed 0
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.suite import POSTGRES_URL, postgres

HEAD = ("database", "runs", "hit", "of these supervisors", "done", "lost", "twice", "astray", "s")
SECONDS = 1800.0


def main() -> int:
    """Run the chaos on each database; the exit code says whether all held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=36, help="runs on each database, at least")
    parser.add_argument("--hits", type=int, default=30, help="kills while a run is computed")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    with postgres() as url:
        if url:
            os.environ[POSTGRES_URL] = url
        databases = ["sqlite", "postgres"] if os.environ.get(POSTGRES_URL) else ["sqlite"]
        held = [once(database, given.runs, given.hits, given.seed) for database in databases]
    if len(databases) < 2:
        print("There is no Postgres here, so SQLite alone was tried.")
    return 0 if all(held) else 1


def once(database: str, n_runs: int, n_hits: int, seed: int) -> bool:
    """Run the chaos on a fresh database and print its row; whether all held."""
    from tests.worker.engine.chaos import Chaotic
    from tests.worker.engine.conftest import Fleet, fresh_settings
    from worker.engine.client import Engine

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        fresh_settings(database, Path(folder)) as chosen,
    ):
        engine = Engine.open(chosen)
        fleet = Fleet(chosen, engine)
        try:
            found = Chaotic(fleet, seed).go(n_runs, n_hits, SECONDS)
        finally:
            fleet.stop()
            engine.close()
    for run_id, how in found.twice.items():
        print(f"{run_id}: {how}", file=sys.stderr)
    n_runs = len(found.states)
    n_hit, n_done = sum(found.hits.values()), list(found.states.values()).count("done")
    bad = len(found.lost), len(found.twice), len(found.astray)
    row = (database, n_runs, n_hit, found.n_supervisors, n_done, *bad, f"{found.seconds:.0f}")
    print(f"| {' | '.join(map(str, row))} |", flush=True)
    return n_hit >= n_hits and n_done == n_runs and bad == (0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())

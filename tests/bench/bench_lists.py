"""Time pages and API lists of a server whose database holds 100,000 runs.

Prints a markdown table: how long each waits for its answer, the median and the longest of several
rounds, and what the web server computed for it (aim: under 50 ms). The runs are written into the
database as finished ones of several kinds, models, owners and tags; the server and its worker are
real.

    python tests/bench/bench_lists.py
    python tests/bench/bench_lists.py --runs 10000 --rounds 5
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx
import psutil
from sqlalchemy import insert

from tests.browser.conftest import Served, serve
from worker.contract.settings import Settings
from worker.contract.spec import parse_spec
from worker.engine.client import Engine
from worker.engine.study.built_in import built_in_study
from worker.store.database import Database
from worker.store.describe import search_text, title_of
from worker.store.tables import Run, RunParent, RunTag

PAGES = {
    "Home": "/",
    "Runs": "/runs",
    "Runs, a kind": "/runs?kind=evaluate",
    "Runs, a rare kind": "/runs?kind=study",
    "Runs, a state": "/runs?state=failed",
    "Runs, a model": "/runs?model=other",
    "Runs, a tag": "/runs?tag=seldom",
    "Runs, starred": "/runs?show=starred",
    "Runs, the archive": "/runs?show=archived",
    "Runs, all": "/runs?show=all",
    "Runs, a kind of a model": "/runs?kind=localize&model=other",
    "Runs, a tag and a state": "/runs?tag=often&state=failed",
    "Runs, words that many have": "/runs?search=athletes",
    "Runs, words that one has": "/runs?search=needle",
    "Runs, words that none has": "/runs?search=nowhere",
    "Runs, words and filters": "/runs?search=nowhere&kind=evaluate&state=done",
    "Compare": "/compare",
    "Compare, words that none has": "/compare?search=nowhere",
    "Masks": "/masks",
    "Localize": "/localize",
    "Unlearn": "/unlearn",
    "Evaluate": "/probes",
    "Explore": "/explore",
    "Stacks": "/stacks",
    "Dossiers": "/dossier",
    "Studies": "/studies",
    "API, the newest 50": "/api/runs?limit=50",
}


def specs() -> list[Any]:
    """Specs of several kinds, as many of each as there are of it among twenty."""
    facts = {"set": "athletes", "forget": "first:16"}
    mask = {"components": ["blocks.1.mlp", "blocks.2.mlp"]}
    edit = {"kind": "unlearn", "method": "localized_finetuning", "mask": mask, "facts": facts}
    found = (
        ({"kind": "localize", "method": "causal_tracing", "facts": facts}, 7),
        ({**edit, "model": "demo"}, 5),
        ({"kind": "evaluate", "evaluations": ["probes"], "facts": facts}, 7),
        ({"kind": "evaluate", "evaluations": ["probes"], "facts": facts, "model": "other"}, 1),
    )
    return [parse_spec(spec) for spec, times in found for _ in range(times)]


def created_of(number: int) -> float:
    """When a run was asked for, in seconds since 1970."""
    return 1_750_000_000.0 + number * 315.0


def rows(n: int, seed: int) -> Iterator[tuple[dict[str, Any], str]]:
    """Finished runs over a year with, for some, a tag."""
    generator = random.Random(seed)
    kinds = specs()
    study = built_in_study("paper_comparison", "demo", "athletes")
    for number in range(n):
        spec = study if number % 1_000 == 7 else generator.choice(kinds)
        id = f"{number:012x}"
        title = title_of(spec) + (" needle" if number == n // 10 else "")
        body = spec.model_dump(mode="json")
        created = created_of(number)
        state = generator.choices(("done", "failed", "cancelled"), (90, 5, 5))[0]
        yield (
            {
                "id": id,
                "kind": spec.kind,
                "title": title,
                "spec": body,
                "model": spec.base,
                "search": search_text(id, title, body),
                "state": state,
                "owner": f"person {generator.randrange(200)}",
                "priority": 0,
                "created": created,
                "started": created + 1,
                "finished": created + 60,
                "starred": number % 1_000 == 0,
                "archived": number % 50 == 0,
            },
            generator.choice(("", "", "", "often", "seldom" if number % 500 == 0 else "")),
        )


def fill(database: Database, n: int, seed: int) -> None:
    """Write the runs, with what they were made from for a tenth of them."""
    found = list(rows(n, seed))
    with database.write() as session:
        for first in range(0, n, 1_000):
            part = found[first : first + 1_000]
            session.execute(insert(Run), [row for row, _ in part])
            tags = [{"run_id": row["id"], "tag": tag} for row, tag in part if tag]
            session.execute(insert(RunTag), tags)
            links = [
                {"run_id": row["id"], "position": 0, "parent_id": part[0][0]["id"]}
                for row, _ in part[10::10]
            ]
            session.execute(insert(RunParent), links)


def ask(served: Served, client: httpx.Client, path: str, rounds: int) -> tuple[list[float], float]:
    """Seconds of each answer, and what the web server computed for one."""
    assert served.web is not None
    process = psutil.Process(served.web.pid)
    client.get(path).raise_for_status()
    before, found = process.cpu_times(), []
    for _ in range(rounds):
        begun = time.perf_counter()
        client.get(path).raise_for_status()
        found.append(time.perf_counter() - begun)
    after = process.cpu_times()
    return found, (after.user + after.system - before.user - before.system) / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        served = serve(Path(folder))
        try:
            engine = Engine.open(Settings(data=served.data))
            fill(engine.store.database, args.runs, args.seed)
            engine.close()
            print(f"{args.runs:,} runs, load average {psutil.getloadavg()[0]:.1f}")
            print("\n| Page | median | most | computed |\n|-|-|-|-|")
            with httpx.Client(base_url=served.base, timeout=60, follow_redirects=True) as client:
                client.get(served.address).raise_for_status()
                back = created_of(args.runs // 10)
                pages = PAGES | {
                    "Runs, far back": f"/runs?after={back}-x&at={args.runs * 9 // 10}",
                    "Runs, far back, to the page before": f"/runs?before={back}-x&at={args.runs}",
                    "Runs, far back, of one word": f"/runs?search=athletes&after={back}-x&at=900",
                    "API, far back": f"/api/runs?limit=50&after={back}-x",
                }
                for name, path in pages.items():
                    found, computed = ask(served, client, path, args.rounds)
                    times = (statistics.median(found), max(found), computed)
                    cells = (f"{1_000 * seconds:.0f} ms" for seconds in times)
                    print(f"| {name} | {' | '.join(cells)} |", flush=True)
        finally:
            served.stop()


if __name__ == "__main__":
    main()

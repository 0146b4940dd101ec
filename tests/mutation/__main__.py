"""`python -m tests.mutation PLACE… [--sample N] [--seed S]`: what the tests of modules let pass.

A place is a folder or a file, as worker/contract or worker/store/runs.py. Of each module N changes
are drawn (0: all), each is made in a copy of the project, and the module's own tests are run on it.
What they do not notice is printed as a diff: an assertion is missing, or the change means nothing.

cosmic-ray and mutmut were looked at: the one starts a new pytest for each change, with its seconds
of imports; the other begins with the whole suite and changes functions only, not models.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from difflib import unified_diff
from pathlib import Path
from random import Random

from tests.architecture.test_walls import ROOT
from tests.mutation import warm
from tests.mutation.changes import Change, changes

COPIED = ("app", "worker", "tests", "templates", "static", "docker")
INSIDE = "LETHE_MUTATION_COPY"
LIMIT = 300.0
"""Seconds that a module's unchanged tests may take."""


def main() -> int:
    """Copy the project, and try the changes there."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("places", nargs="+", metavar="PLACE")
    parser.add_argument("--sample", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    asked = parser.parse_args()
    if os.environ.get(INSIDE) != str(ROOT):
        return in_copy()
    warm.load_libraries()
    places = modules(asked.places)
    warm.load_torch(file for path in places for file in warm.tests_of(path))
    killed = tried = 0
    for path in places:
        one = report(path, asked.sample, asked.seed)
        killed, tried = killed + one[0], tried + one[1]
    share = f", {killed / tried:.0%}" if tried else ""
    print(f"\nAll: {killed} of {tried} killed{share} (at most {asked.sample} each, ", end="")
    print(f"seed {asked.seed})")
    return 0


def in_copy() -> int:
    """Do the same in a copy of the project, which a change may break."""
    with tempfile.TemporaryDirectory(prefix="lethe-mutation-") as folder:
        copy = Path(folder).resolve()
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for file in ROOT.glob("*.*"):
            if file.is_file():
                shutil.copy2(file, copy)
        own = {INSIDE: str(copy), "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.mutation", *sys.argv[1:]]
        return subprocess.run(command, cwd=copy, env=os.environ | own, check=False).returncode


def modules(places: list[str]) -> list[Path]:
    """List the modules at places that hold something to change."""
    found: list[Path] = []
    for place in places:
        path = ROOT / place
        if not path.exists():
            raise SystemExit(f"There is no {place}; expected a folder or file of app or worker.")
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [
        one for one in found if changes(one.read_text("utf-8")) and "migrations" not in one.parts
    ]


def report(path: Path, sample: int, seed: int) -> tuple[int, int]:
    """Try a module's changes and print what came of it; give how many of how many were noticed."""
    source, name = path.read_text("utf-8"), path.relative_to(ROOT)
    every = changes(source)
    drawn = Random(f"{seed}:{name}").sample(every, min(sample or len(every), len(every)))
    drawn.sort(key=lambda one: one.start)
    files = warm.tests_of(path)
    if not files:
        print(f"{name}: 0 of {len(drawn)} killed: no test of its own", flush=True)
        return 0, len(drawn)
    read, write = os.pipe()

    def work() -> None:
        warm.warm_up(path, files)
        seconds = warm.timed(files, LIMIT)
        passed = [c for c in drawn if warm.trial(path, c.apply(source), files, 10 + 4 * seconds)]
        words = f"{len(drawn) - len(passed)} of {len(drawn)} killed ({len(every)} changes; "
        print(f"{name}: {words}{seconds:.1f} s by {', '.join(f.name for f in files)})")
        for one in passed:
            print(_diff(source, one))
        os.write(write, str(len(drawn) - len(passed)).encode())

    failed = warm.in_fork(work)
    os.close(write)
    with os.fdopen(read) as pipe:
        noticed = pipe.read()
    if failed:
        print(f"{name}: could not be tried", flush=True)
    return int(noticed or 0), len(drawn)


def _diff(source: str, one: Change) -> str:
    lines = unified_diff(source.splitlines(), one.apply(source).splitlines(), n=0, lineterm="")
    return "\n".join(f"    {line}" for line in list(lines)[2:])


if __name__ == "__main__":
    sys.exit(main())

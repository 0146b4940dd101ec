"""`python -m tests.architecture.measures`: print the measures that the README's Measures names.

Function lengths, imports across rooms, lines of tests per line, strict type errors, what is
installed for the server and a worker, and which of the packages that only transformer-lens brings
are loaded by either at its start. Takes about a minute, most of it the type check.
"""

import ast
import json
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import median
from types import ModuleType

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.test_walls import ROOT, imports, sources

LONG = 50
"""Lines, above which STYLE wants a reason in a function's docstring."""
STARTS = {
    "server": "import app.__main__",
    "worker": (
        "from worker.contract.settings import settings\n"
        "from worker.engine.unneeded import without\n"
        "with without():\n"
        "    from worker import run\n"
        "    run.open_models(settings())\n"
        "    run.announce(settings())"
    ),
}
"""What each process imports and does before it takes its first request or job."""


def function_lengths() -> list[int]:
    """Count the lines of every function and method, from `def` to its last line."""
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in sources().values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def underscore_imports() -> list[str]:
    """Name every import of another folder's underscore file, as `module imports name`."""
    found = []
    for module, path in sources().items():
        room = module.rpartition(".")[0]
        for name in sorted(imports(path)):
            parts = name.split(".")
            if parts[0] not in ("app", "worker"):
                continue
            private = (i for i, part in enumerate(parts) if part.startswith("_"))
            place = next(private, None)
            if place is not None and ".".join(parts[:place]) not in (room, module):
                found.append(f"{module} imports {name}")
    return found


def lines_of(*folders: str) -> int:
    """Count the lines of Python in folders."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def strict_errors() -> list[str]:
    """List what mypy finds under the project's own settings, which are the strict ones."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"mypy did not check: {done.stdout}{done.stderr}")
    return [line for line in done.stdout.splitlines() if ": error: " in line]


def locking() -> ModuleType:
    """Import docker/lock.py, which is in no package."""
    spec = spec_from_file_location("lock", ROOT / "docker" / "lock.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packages_of(*uses: str, without: str = "") -> set[str]:
    """Name all that some groups of pyproject.toml need, in turn too, but for one requirement."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    wanted = [Requirement(line) for use in uses for line in groups[use]]
    return set(locking().closure([one for one in wanted if one.name != without]))


def brought_by(name: str) -> set[str]:
    """Name the packages of server and worker that are there for one requirement's sake only."""
    all_of_them = packages_of("web", "worker")
    return all_of_them - packages_of("web", "worker", without=name) - {canonicalize_name(name)}


def files_of(package: str) -> set[str]:
    """List an installed package's files by their real paths."""
    return {str(Path(str(f.locate())).resolve()) for f in distribution(package).files or ()}


def installed_bytes(packages: set[str]) -> int:
    """Add up the files of installed packages."""
    files = [Path(file) for name in packages for file in files_of(name)]
    return sum(file.stat().st_size for file in files if file.is_file())


def loaded_at_start(process: str, packages: set[str]) -> set[str]:
    """Name those packages of which a process has run a file when it has started.

    By file, since several packages may share a name's first part (opentelemetry, google).
    """
    code = (
        f"{STARTS[process]}\nimport json, sys\n"
        "print(json.dumps([getattr(m, '__file__', None) for m in sys.modules.values()]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ran = {str(Path(file).resolve()) for file in json.loads(done.stdout.splitlines()[-1]) if file}
    return {package for package in packages if files_of(package) & ran}


def main() -> None:
    """Print every measure."""
    lengths = function_lengths()
    long = sum(length > LONG for length in lengths)
    print(f"Functions: {len(lengths)}, median {median(lengths):g} lines, ", end="")
    print(f"{long} ({long / len(lengths):.1%}) over {LONG}")
    print(f"Imports of another room's underscore file: {len(underscore_imports())}")
    tests, code = lines_of("tests"), lines_of("app", "worker")
    print(f"Lines: {code:,} of app and worker, {tests:,} of tests ({tests / code:.2f} per line)")
    for use, groups in (("server", ("web",)), ("worker", ("web", "worker"))):
        packages = packages_of(*groups)
        size = installed_bytes(packages) / 1e6
        print(f"Installed for the {use}: {len(packages)} packages, {size:,.0f} MB")
    brought = brought_by("transformer-lens")
    size = installed_bytes(brought) / 1e6
    print(f"Only for transformer-lens: {len(brought)} packages, {size:,.0f} MB")
    for process in STARTS:
        loaded = sorted(loaded_at_start(process, brought))
        print(f"Of these the {process} has loaded at its start: {', '.join(loaded) or 'none'}")
    print(f"Strict type errors: {len(strict_errors())}")


if __name__ == "__main__":
    main()

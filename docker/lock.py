"""`python docker/lock.py`: pin what is installed, by use, in `docker/requirements/`.

The groups of pyproject.toml name what each use needs: `web` (the server), `telemetry`
(its metrics to a collector of OpenTelemetry), `worker` (what computes),
`tasks` (lm-evaluation-harness), `dev` (tests and checks). Each lock holds its group's packages and
all that they need in turn, at the installed versions, less what an earlier lock holds already.
With `--check` nothing is written, and a lock that is not as it would be written is named.
"""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docker" / "requirements"
USES = ("web", "telemetry", "worker", "tasks", "dev")
BESIDE = "telemetry"
"""An extra of the web server: its lock is beside the others, which hold what they need of it."""
UNPINNED = frozenset({"pip"})
"""What installs the rest (pip-audit names it as a need): each machine has and mends its own."""


def closure(wanted: list[Requirement]) -> dict[str, str]:
    """Give the pin of every package that these need on this system, by canonical name."""
    pins: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    open_ends = [(one, extra) for one in wanted for extra in ("", *sorted(one.extras))]
    while open_ends:
        requirement, extra = open_ends.pop()
        key = (canonicalize_name(requirement.name), extra)
        if key in seen or key[0] in UNPINNED:
            continue
        seen.add(key)
        try:
            found = distribution(requirement.name)
        except PackageNotFoundError:
            sys.exit(f"{requirement.name} is not installed: pip install it, then lock again.")
        pins[key[0]] = f"{found.metadata['Name']}=={found.version.partition('+')[0]}"
        for line in found.requires or ():
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                open_ends += [(need, more) for more in ("", *sorted(need.extras))]
    return pins


def locks() -> dict[str, str]:
    """Give each lock's text, by use."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    held: set[str] = set()
    texts = {}
    for use in USES:
        pins = closure([Requirement(line) for line in groups[use]])
        lines = [pins[name] for name in sorted(pins) if name not in held]
        held |= set(pins) if use != BESIDE else set()
        texts[use] = "".join(f"{line}\n" for line in lines)
    return texts


def main() -> None:
    """Write the locks, or compare them."""
    stale = []
    for use, text in locks().items():
        path = FOLDER / f"{use}.txt"
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"Not as installed: {', '.join(stale)}. Run `make lock`.")


if __name__ == "__main__":
    main()

"""`python -m tests.architecture.picture`: draw the rooms and their imports into the README.

The picture is Mermaid text. An arrow says that some file of one room imports one of another. What
every room of core imports (the contract, and the files beside its registry) is left out inside it.
"""

import re

from tests.architecture.test_walls import ROOT, imports, sources

README = ROOT / "README.md"
BEGIN, END = "```mermaid\n", "```"


def room_of(module: str) -> str:
    """The room that a module is drawn in: app, worker.store, worker.core.patching, …"""
    parts = module.split(".")
    if parts[:2] == ["worker", "core"]:
        return ".".join(parts[:3]) if len(parts) > 3 else "worker.core"
    return ".".join(parts[:2]) if parts[0] == "worker" else "app"


def arrows() -> set[tuple[str, str]]:
    """Every pair of rooms of which the first imports the second."""
    known = sources()
    return {
        (room_of(module), room_of(name))
        for module, path in known.items()
        for name in imports(path)
        if name in known and name != "worker" and room_of(name) != room_of(module)
    }


def drawn_arrows() -> set[tuple[str, str]]:
    """The arrows that are drawn: from outside core into all of it, and between core's rooms."""
    found = set()
    for one, other in arrows():
        inside = one.startswith("worker.core")
        if inside and other.startswith("worker.core."):
            if one != "worker.core":
                found.add((one, other))
        elif inside and not other.startswith("worker.core"):
            found.add(("worker.core", other))
        elif not inside:
            found.add((one, "worker.core" if other.startswith("worker.core") else other))
    return found


def draw() -> str:
    """Give the picture as Mermaid text."""
    rooms = sorted({room for pair in drawn_arrows() for room in pair})
    lines = ["flowchart TD"]
    lines += [f"  {name_of(r)}[{r}]" for r in rooms if not r.startswith("worker.core")]
    lines.append("  subgraph worker_core[worker.core]")
    lines += [f"    {name_of(r)}[{r.split('.')[2]}]" for r in rooms if r.startswith("worker.core.")]
    lines.append("  end")
    lines += [f"  {name_of(one)} --> {name_of(other)}" for one, other in sorted(drawn_arrows())]
    return "\n".join(lines) + "\n"


def name_of(room: str) -> str:
    """A room's name as Mermaid takes it."""
    return room.replace(".", "_")


def shown() -> str:
    """The picture that stands in the README."""
    found = re.search(f"{BEGIN}(.*?){END}", README.read_text(encoding="utf-8"), re.DOTALL)
    return found.group(1) if found else ""


def main() -> None:
    """Put the picture as it is now into the README."""
    text = README.read_text(encoding="utf-8")
    README.write_text(text.replace(BEGIN + shown() + END, BEGIN + draw() + END), encoding="utf-8")


if __name__ == "__main__":
    main()

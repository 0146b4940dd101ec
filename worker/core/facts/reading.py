"""Finds the bundled fact sets, and the reader for an uploaded file."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from worker.contract.errors import UserError
from worker.contract.facts import FactSet
from worker.contract.menu import FileFormat, ReadFacts
from worker.core.registry import modules, summary_of

MAX_BYTES = 50_000_000


def bundled_fact_sets() -> list[FactSet]:
    """Every fact set that has a file in this folder (or in the plugins' `facts/`)."""
    return [module.fact_set() for module in modules("facts") if hasattr(module, "fact_set")]


def file_formats() -> tuple[FileFormat, ...]:
    """Announce every reader that has a file, by its endings or as a layout."""
    return tuple(
        FileFormat(
            title=module.TITLE,
            summary=summary_of(module),
            endings=getattr(module, "ENDINGS", ()),
        )
        for module in sorted(modules("facts"), key=lambda module: not hasattr(module, "ENDINGS"))
        if hasattr(module, "ENDINGS") or hasattr(module, "KEYS")
    )


def read_facts(path: Path, filename: str, mapping: Mapping[str, str]) -> ReadFacts:
    """Read an uploaded file by its ending; raise UserError in words for what cannot be read."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UserError(
            f"{filename!r} has {size / 1e6:.0f} MB; expected at most {MAX_BYTES / 1e6:.0f} MB.",
            field="file",
        )
    ending = Path(filename).suffix.lower()
    readers = {e: m for m in modules("facts") if hasattr(m, "ENDINGS") for e in m.ENDINGS}
    if ending not in readers:
        raise UserError(
            f"{filename[:100]!r} ends in {ending or 'nothing'!r}; "
            f"expected {', '.join(sorted(readers))}.",
            field="file",
        )
    with _uncollected():
        found: ReadFacts = readers[ending].read(path.read_bytes(), mapping)
    return found


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage inside: of millions of cells that are all in use it finds none.

    It took a third of the time in which CounterFact's 22,000 records are read.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()

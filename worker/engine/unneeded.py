"""What libraries load where it is there, and nothing here needs."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder

UNNEEDED = frozenset({"dill", "sniffio"})
"""torch takes dill to pickle data pipes, and nothing here pickles; anyio takes sniffio to see trio.
Both come with transformer-lens and go on without."""


class NotNow(MetaPathFinder):
    """Stands before the other finders and finds nothing of some names."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        """Raise ModuleNotFoundError for these names; leave all others to the next finder."""
        if name in self._names:
            raise ModuleNotFoundError(f"{name} is not loaded at start", name=name)


@contextmanager
def without(names: frozenset[str] = UNNEEDED) -> Iterator[None]:
    """Hide these modules from what is imported meanwhile; what is loaded already stays."""
    finder = NotNow(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)

"""A shared server's store, for the commands that change it without the web, and note it."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from worker.contract.settings import settings
from worker.store.store import Store


def note(store: Store, what: str, about: str) -> None:
    """Write into the audit log what was changed, and who typed it on which machine's account."""
    store.note("", what, about, f"command line of {getpass.getuser()}")


@contextmanager
def opened() -> Iterator[Store]:
    """The settings' store, closed in the end."""
    store = Store.open(settings())
    try:
        yield store
    finally:
        store.close()

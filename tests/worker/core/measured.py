"""What evaluations and searches keep of bases, dropped so that a test measures anew."""

from worker.core.asking import kept


def forget_all() -> None:
    """Drop every kept measurement."""
    for store in kept._stores:
        store.clear()

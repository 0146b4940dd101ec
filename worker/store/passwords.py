"""Passwords by argon2id, at the cost that argon2-cffi recommends, few at a time.

Each takes 64 MiB of memory while it is computed: who sends many at once waits, and the server
stays up.
"""

import secrets
import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

AT_ONCE = 2
"""Hashes that one process computes at the same time."""
_turn = threading.BoundedSemaphore(AT_ONCE)
_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """A password's hash with its salt and its cost."""
    with _turn:
        return _hasher.hash(password.encode(errors="replace"))


def is_right(password: str, kept: str | None) -> bool:
    """Whether a password is the hashed one; None takes as long, so that nobody tells it apart."""
    with _turn:
        try:
            # What is no hash is the identity of who has no password.
            is_hash = kept is not None and kept.startswith("$argon2")
            return _hasher.verify(
                kept if kept and is_hash else _nobodys(), password.encode(errors="replace")
            )
        except VerificationError:
            return False


def is_stale(kept: str) -> bool:
    """Whether a hash was made at another cost than today's."""
    return _hasher.check_needs_rehash(kept)


@cache
def _nobodys() -> str:
    return _hasher.hash(secrets.token_bytes(32))

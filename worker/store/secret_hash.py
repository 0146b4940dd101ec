"""Secrets that are drawn here and kept hashed: who reads the tables cannot use them.

They are drawn with 256 bits, so that a plain SHA-256 cannot be guessed back; what people choose is
hashed by `worker.store.passwords`.
"""

import hashlib
import secrets


def draw(begin: str = "") -> tuple[str, str]:
    """A new secret, with a beginning by which it is known in a text, and its hash."""
    secret = begin + secrets.token_urlsafe(32)
    return secret, digest(secret)


def digest(secret: str) -> str:
    """A secret's hash."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()

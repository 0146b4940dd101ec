"""Login tokens and signed session cookies. Nothing about a session is stored on the server."""

import hashlib
import hmac
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from worker.contract.settings import Settings

LASTS = 30 * 24 * 3600
"""Seconds until a session's cookie expires."""


@dataclass(frozen=True)
class Identity:
    """Who asks. With a single user the name is empty, as is the owner of what they make."""

    user: str = ""


@dataclass(frozen=True)
class Session:
    """One signed-in browser."""

    identity: Identity
    nonce: str


class Sessions:
    """Checks tokens, and signs and reads cookies.

    The signing key lies in the data folder, so that a restarted server knows its readers; a
    fixed token goes into the key, so that changing it signs everybody out.
    """

    def __init__(self, settings: Settings) -> None:
        fixed = settings.token.get_secret_value() if settings.token else ""
        self.token = fixed or secrets.token_urlsafe(24)
        self._key = hashlib.sha256(_secret(settings.data) + fixed.encode()).digest()

    def accepts(self, token: str) -> bool:
        """Whether `token` is the login token, compared in constant time."""
        return hmac.compare_digest(token.encode(errors="replace"), self.token.encode())

    def issue(self, identity: Identity) -> str:
        """Make a session cookie's value."""
        claims = f"{int(time.time()) + LASTS}.{secrets.token_hex(12)}.{identity.user}"
        return f"{claims}.{self._sign(claims)}"

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None when it was not signed here or has expired."""
        claims, _, signature = cookie.rpartition(".")
        expected = self._sign(claims)
        if not hmac.compare_digest(signature.encode(errors="replace"), expected.encode()):
            return None
        expires, nonce, user = claims.split(".", 2)
        return Session(Identity(user), nonce) if time.time() < int(expires) else None

    def csrf(self, session: Session) -> str:
        """The token that this session's forms carry."""
        return self._sign(f"csrf.{session.nonce}")

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(errors="replace"), hashlib.sha256).hexdigest()


def _secret(data: Path) -> bytes:
    """Read the signing key in the data folder, or make it, readable for its owner alone."""
    path = data / "session.key"
    data.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(32))
    return path.read_bytes()

"""Login tokens and signed session cookies. The server remembers only which sessions were ended."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Literal

from itsdangerous import BadData, Signer, URLSafeTimedSerializer

from app.access.attempts import Attempts
from worker.contract.people import Role
from worker.contract.private import make_folder, secret
from worker.contract.settings import Settings

LASTS = 30 * 24 * 3600
"""Seconds until a session's cookie expires."""
PROVIDER = "provider"
"""What a browser keeps while its reader is at the provider of OpenID Connect."""
_HOW: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


@dataclass(frozen=True)
class Identity:
    """Who asks. With a single user the name is empty, as is the owner of what they make."""

    user: str = ""
    role: Role | Literal["visitor"] | None = None
    """On a shared server; with a single user there are none."""


VISITOR = Identity(role="visitor")
"""Who comes to an open house without an account; they have no session."""


@dataclass(frozen=True)
class Session:
    """One signed-in browser."""

    identity: Identity
    nonce: str
    """Names the session; empty for a script, whose requests each carry the token."""
    until: float = 0.0
    """When it expires, in seconds since 1970."""
    token: str = ""
    """The id of the personal token that a script on a shared server came with."""

    @property
    def turns(self) -> str:
        """Who takes turns with others: the person, else the browser; all scripts are one."""
        return self.identity.user or self.nonce


class Sessions:
    """Checks tokens, and signs and reads cookies.

    The signing key lies in the data folder, so that a restarted server knows its readers; a
    fixed token goes into the key, so that changing it signs everybody out. Raises UserError where
    the key can be neither read nor made.
    """

    def __init__(self, settings: Settings) -> None:
        make_folder(settings.data)
        fixed = settings.token.get_secret_value() if settings.token else ""
        self.token = fixed or secrets.token_urlsafe(24)
        key = secret(settings.data / "session.key") + fixed.encode()
        self._attempts = Attempts()
        self._cookies = URLSafeTimedSerializer(key, salt=b"session", signer_kwargs=_HOW)
        self._sealed = URLSafeTimedSerializer(key, signer_kwargs=_HOW)
        self._forms = Signer(key, salt=b"form", **_HOW)

    def accepts(self, token: str) -> bool:
        """Whether `token` is the login token, compared in constant time."""
        return hmac.compare_digest(token.encode(errors="replace"), self.token.encode())

    def try_token(self, token: str, address: str) -> float | None:
        """Look at a token from an address: 0 when it is right, None when it is wrong.

        After too many wrong ones it is not looked at: the seconds until one is.
        """
        if wait := self._attempts.wait(address):
            return wait
        if not self.accepts(token):
            self._attempts.failed(address)
            return None
        self._attempts.succeeded(address)
        return 0.0

    def issue(self, identity: Identity) -> str:
        """Make a session cookie's value."""
        return self._cookies.dumps([secrets.token_hex(12), identity.user])

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None when it was not signed here or has expired."""
        try:
            (nonce, user), signed = self._cookies.loads(cookie, LASTS, return_timestamp=True)
        except BadData:
            return None
        return Session(Identity(user), nonce, signed.timestamp() + LASTS)

    def seal(self, told: Any, what: str = PROVIDER) -> str:
        """Sign what a browser keeps for the server, which is read as nothing else."""
        return self._sealed.dumps(told, salt=what)

    def unseal(self, cookie: str, lasts: int, what: str = PROVIDER) -> Any:
        """What was sealed at most `lasts` seconds ago; None otherwise."""
        try:
            return self._sealed.loads(cookie, lasts, salt=what)
        except BadData:
            return None

    def csrf(self, session: Session) -> str:
        """A token for this session's forms, another at each call.

        Pages go out compressed: were the token always the same, what else stands on a page would
        tell by its size how much of the token it repeats (BREACH).
        """
        return self._form_of(session, secrets.token_urlsafe(9))

    def is_form_of(self, session: Session, given: str) -> bool:
        """Whether a form was made for this session, compared in constant time."""
        made = self._form_of(session, given.partition(".")[0])
        return hmac.compare_digest(given.encode(errors="replace"), made.encode(errors="replace"))

    def _form_of(self, session: Session, salt: str) -> str:
        return f"{salt}.{self._forms.get_signature(f'{session.nonce}.{salt}').decode()}"

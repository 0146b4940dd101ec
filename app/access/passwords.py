"""Signing in to a shared server: names and passwords, looked at a few times, then with pauses."""

import threading

from starlette.requests import Request
from starlette.responses import Response

from app.access.attempts import Attempts
from app.access.guard import address_of, put_cookie
from app.access.session import LASTS
from worker.contract.people import Person
from worker.store.store import Store

LONGEST_PAUSE = 900.0
"""Seconds of the longest pause for one name, from whatever addresses it is tried."""


class Passwords:
    """Checks passwords, with pauses for an address and for a name that double. In this process.

    A try counts as wrong until it was found right, so that many at once gain nothing.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._addresses = Attempts()
        self._names = Attempts(longest=LONGEST_PAUSE)

    def check(self, store: Store, name: str, password: str, address: str) -> Person | float:
        """The person of this password; else the seconds after which one is looked at again.

        0 where it was looked at and is not the one. Blocks for as long as a hash takes.
        """
        key = f"name {name.strip().lower()[:255]}"
        with self._turn:
            if wait := max(self._addresses.wait(address), self._names.wait(key)):
                return wait
            self._addresses.failed(address)
            self._names.failed(key)
        person = store.check_password(name, password)
        if person is None:
            return 0.0
        with self._turn:
            self._addresses.succeeded(address)
            self._names.succeeded(key)
        return person


def let_in(
    request: Request, response: Response, store: Store, person: Person, lasts: int = LASTS
) -> Response:
    """Begin a session of a person's, of `lasts` seconds, and put its cookie on `response`."""
    browser = request.headers.get("user-agent", "")
    secret = store.sign_in(person.name, lasts, address_of(request), browser)
    return put_cookie(request, response, secret, lasts)

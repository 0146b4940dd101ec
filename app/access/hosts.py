"""Under which names a server answers: a page elsewhere may point a name of its own at it.

Localhost and the address that it listens on, what LETHE_HOSTS adds, and a shared server's public
address. A server that listens on all of its machine's addresses answers to each of these as a
number, which no other site can point anywhere, and to the machine's name.

Starlette's TrustedHostMiddleware would say "Invalid host header" and knows no IPv6 address.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.requests import Request

from worker.contract.settings import Settings

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
EVERYWHERE = frozenset({"0.0.0.0", "::"})
"""Addresses that stand for all of the machine's."""


class Hosts:
    """The names of one server."""

    def __init__(self, settings: Settings) -> None:
        self._is_everywhere = settings.host in EVERYWHERE
        own = socket.gethostname().lower()
        self._names = {*LOOPBACK, *settings.hosts}
        self._names |= (
            {own, own.partition(".")[0]} if self._is_everywhere else {settings.host.lower()}
        )
        self._public = settings.public_url if settings.shared else ""
        if self._public:
            self._names.add((urlsplit(self._public).hostname or "").lower())

    def answers(self, request: Request) -> bool:
        """Whether a request asks for one of them."""
        name = _hostname(request.headers.get("host", ""))
        if name in self._names or (self._is_everywhere and _is_number(name)):
            return True
        endings = [one[1:] for one in self._names if one.startswith("*.")]
        return any(name.endswith(ending) for ending in endings)

    def refusal(self, request: Request) -> str:
        """What is said to one that does not."""
        asked = repr(request.headers.get("host", "")[:200])
        known = self._public or "localhost and the address that it listens on"
        return (
            f"This server answers to {known} alone, not to {asked}. Open one of these, or add the "
            f"name to LETHE_HOSTS and start the server again."
        )


def _hostname(host: str) -> str:
    """A Host header without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

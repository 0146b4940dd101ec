"""How often one address may try tokens: a few times at once, then with pauses that double."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

FREE = 5
"""Wrong tokens in a row that cost no pause."""
FIRST, LONGEST = 1.0, 60.0
"""Seconds of the first pause and of the longest."""
FORGOTTEN = 3600.0
"""Seconds after which an address' wrong tokens are forgotten."""
MOST = 10_000
"""Addresses that are remembered; the one that has been silent longest is forgotten first."""


@dataclass
class _Tried:
    wrong: int = 0
    last: float = 0.0


class Attempts:
    """Counts wrong tokens by address, in this process. Used from one thread, or under a lock.

    `longest`: seconds of the longest pause.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, longest: float = LONGEST
    ) -> None:
        self._clock, self._longest = clock, longest
        self._tried: OrderedDict[str, _Tried] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until a token from this address is looked at again; 0 for now."""
        tried = self._tried.get(network_of(address))
        if tried is None or tried.wrong < FREE:
            return 0.0
        pause = min(FIRST * 2.0 ** min(tried.wrong - FREE, 30), self._longest)
        return max(0.0, tried.last + pause - self._clock())

    def failed(self, address: str) -> None:
        """Count a wrong token."""
        network, now = network_of(address), self._clock()
        tried = self._tried.pop(network, None)
        if tried is None or now - tried.last > FORGOTTEN:
            tried = _Tried()
        tried.wrong, tried.last = tried.wrong + 1, now
        self._tried[network] = tried
        if len(self._tried) > MOST:
            self._tried.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget an address' wrong tokens."""
        self._tried.pop(network_of(address), None)


def network_of(address: str) -> str:
    """What one person has: an IPv4 address, or a /64 of IPv6."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or f"{int(found) >> 64:x}::/64")
    return str(found)

"""Where a worker's lane listens, and the address under which others find it.

The database is what web server and worker both reach. So the address of this host that faces the
database is the best guess at one that the web server reaches too: with SQLite, or a database on
this host, it is the loopback address, which nobody else does.
"""

import socket
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import URL

from worker.contract.errors import UserError

LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")
POSTGRES_PORT = 5432


class Place(NamedTuple):
    """Where a lane listens."""

    bind: str
    """The address that is listened at."""
    told: str
    """The address that others are told."""


def check_host(worker_host: str) -> None:
    """Raise UserError where the setting names an address at which this machine cannot listen."""
    if not worker_host:
        return
    try:
        listen(worker_host).close()
    except OSError as error:
        raise UserError(
            f"LETHE_WORKER_HOST is {worker_host!r}, at which this machine cannot listen "
            f"({error.strerror or error}); expected an address of its own, 0.0.0.0 for all of "
            f"them, or nothing for the one that faces the database."
        ) from None


def place(worker_host: str, database: URL) -> Place:
    """Where to listen; an empty setting takes the address that faces the database, and one for
    all addresses tells others that one."""
    if worker_host and worker_host not in EVERYWHERE:
        return Place(worker_host, worker_host)
    found = facing(database)
    return Place(worker_host or found, found)


def facing(database: URL) -> str:
    """The local address from which packets go to the database; raises UserError for none."""
    if database.get_backend_name() == "sqlite":
        return LOOPBACK
    named = database.query.get("host", database.host or "")
    names = named.split(",") if isinstance(named, str) else list(named)
    hosts = [name for name in names if name and not name.startswith("/")]
    if not hosts:
        return LOOPBACK  # a socket of this machine
    for name in hosts:
        host, _, port = name.partition(":") if name.count(":") == 1 else (name, "", "")
        # Connecting a datagram socket sends nothing; it only finds the way.
        with suppress(OSError):
            for family, kind, _, _, address in socket.getaddrinfo(
                host, int(port or database.port or POSTGRES_PORT), type=socket.SOCK_DGRAM
            ):
                with suppress(OSError), socket.socket(family, kind) as way:
                    way.connect(address)
                    return str(way.getsockname()[0])
    raise UserError(
        f"This machine finds no way to the database's host {hosts[0]!r}, so it does not know "
        f"under which address others reach it; expected LETHE_WORKER_HOST."
    )


def listen(host: str) -> socket.socket:
    """Listen at a free port of an address or name of this machine; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family)


def address_of(host: str, port: int) -> str:
    """The http URL of a host and port."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

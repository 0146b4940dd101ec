"""`python -m app`: start the web server of this machine's settings."""

import logging
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlencode

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from app.opening import Opening
from app.patience import PatientProtocol
from worker.contract.errors import Unavailable, UserError
from worker.contract.logs import set_up
from worker.contract.private import keep_private
from worker.contract.secret_files import exposed
from worker.contract.settings import WRONG_SETTINGS, Settings, refuse_weak, settings
from worker.engine.unneeded import without
from worker.store.trouble import said

with without():
    from app.main import create_app

log = logging.getLogger("lethe.app")


def main() -> None:
    """Serve until stopped, and print the address once the server answers."""
    keep_private()
    try:
        chosen = settings()
        refuse_weak(chosen)
        set_up(chosen.log, logging.WARNING, "%(levelname)s %(name)s: %(message)s")
        for sentence in exposed(chosen):
            log.warning("%s", sentence)
        with listening(chosen) as opened:
            _serve(chosen, opened)
    except UserError as error:
        print(f"lethe: {error.message}", file=sys.stderr)
        sys.exit(WRONG_SETTINGS)
    except Unavailable as unavailable:
        print(f"lethe: {unavailable}", file=sys.stderr)
        sys.exit(1)


def _serve(chosen: Settings, opened: socket.socket) -> None:
    with said():
        app = create_app(chosen)
        app.state.opening.start()
    address = f"http://{_shown(chosen.host)}:{opened.getsockname()[1]}{chosen.root_path}"
    token = urlencode({"token": app.state.sessions.token})
    config = uvicorn.Config(
        app,
        log_level="warning",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
        http=PatientProtocol,
        proxy_headers=False,  # app.forwarded believes LETHE_PROXIES
    )
    if chosen.shared:
        there = f"{chosen.home if chosen.public_url else address}/ (sign in with your account)"
        _say_who_is_first(app.state.opening)
    else:
        # A token that was chosen is known to who chose it, and logs are read by others.
        there = f"{address}/ (sign in with LETHE_TOKEN)" if chosen.token else f"{address}/?{token}"
    Announcing(config, lambda: print(f"Lethe is at {there}", flush=True)).run(sockets=[opened])


def _say_who_is_first(opening: Opening) -> None:
    """Say how the first account is made, where nobody has one."""
    with suppress(Unavailable, SQLAlchemyError):
        if not opening.engine().store.people():
            print(
                "lethe: nobody has an account yet; `lethe user add NAME --role admin` makes the "
                "first.",
                file=sys.stderr,
            )


class Announcing(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def listening(chosen: Settings) -> socket.socket:
    """Open the settings' port; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in chosen.host else socket.AF_INET
    try:
        return socket.create_server((chosen.host, chosen.port), family=family, backlog=256)
    except OSError as error:
        raise UserError(
            f"Lethe cannot listen on {chosen.host}:{chosen.port}: {error.strerror}. "
            f"Choose another with LETHE_PORT (0 takes a free one) or LETHE_HOST."
        ) from None


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    main()

"""An open house: what is held open to who has no account, and in words what is not."""

from starlette.requests import Request

from app.access.guard import address_of
from app.access.rights import may
from app.access.session import VISITOR
from app.access.visits import Visits
from worker.contract.errors import Forbidden, UserError
from worker.contract.settings import Settings
from worker.contract.visitors import Visit, at_home

LONGEST_PATH = 80


class OpenHouse:
    """Receives visitors, each as far as the limits go."""

    def __init__(self, settings: Settings, visits: Visits, shipped: tuple[str, ...]) -> None:
        """`shipped` are the ids of the runs that ship with Lethe."""
        self._models, self._shipped, self._visits = settings.open_models, shipped, visits

    def receive(self, request: Request, route: str) -> UserError | None:
        """Count a request and leave in its state what is held open; or why it is refused."""
        refusal = self._visits.refusal(address_of(request))
        if refusal is not None:
            return refusal
        request.scope["state"]["visit"] = Visit(self._models, self._shipped, address_of(request))
        return None if not route or may(VISITOR, route) else Forbidden(_closed(request))


def _closed(request: Request) -> str:
    """Why a route is closed to visitors, and where one does at home what they wanted."""
    path = request.url.path[:LONGEST_PATH]
    return (
        f"Visitors of this server read its gallery, take lessons and explore; {path} is for people "
        f"with an account, who sign in at /login. {at_home(_there(request.method, path))}"
    )


def _there(method: str, path: str) -> str:
    if path.startswith("/api/runs"):
        return f"ask {path}, or compute the same spec by `lethe run spec.json --out FOLDER`"
    if path.startswith("/lessons/") and method == "POST":
        return f"press the same button on {path.rpartition('/')[0]}"
    return f"ask {path}" if path.startswith("/api/") else f"open {path}"

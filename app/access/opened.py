"""What who has no account may read, at its own address, where its owner shared it with anybody.

Only routes that read one thing are here, and each says where its address names it. What is not
shared so is asked a login for, as what is not there.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from worker.store.sharing import Made
from worker.store.store import Store

_OF_RUNS = """
    /api/bundles/{run_id} /api/runs/{run_id} /api/runs/{run_id}/arrays/{name}
    /api/runs/{run_id}/bundle.zip /api/runs/{run_id}/events /api/runs/{run_id}/exports
    /api/runs/{run_id}/files/{what} /api/runs/{run_id}/log /api/runs/{run_id}/mask.json
    /api/runs/{run_id}/model.zip /api/runs/{run_id}/result /api/runs/{run_id}/tables/{name}
    /bundles/{run_id} /dossier/{run_id} /dossier/{run_id}/file /dossier/{run_id}/verdict
    /rewrite/{run_id} /rewrite/{run_id}/dictionary.json /rewrite/{run_id}/tokens.csv
    /runs/{run_id} /runs/{run_id}/facts /runs/{run_id}/figures/{figure}.{ending}
    /runs/{run_id}/result /runs/{run_id}/spec.json /runs/{run_id}/stream
    /studies/{run_id} /studies/{run_id}/report.csv /studies/{run_id}/report.json
"""
OPENED: dict[str, tuple[Made, str]] = {
    **{f"GET {path}": ("run", "run_id") for path in _OF_RUNS.split()},
    "GET /api/facts/{name}": ("fact set", "name"),
    "GET /facts": ("fact set", "set"),
    "GET /api/masks/{mask_id}": ("mask", "mask_id"),
    "GET /masks/{mask_id}.json": ("mask", "mask_id"),
    "GET /api/texts/{name:path}": ("text", "name"),
    "GET /facts/texts/show": ("text", "name"),
}
"""Route -> what it reads, and the part of the path or of the query that names it."""


def is_opened(store: Store, request: Request, route: str, names: Mapping[str, Any]) -> bool:
    """Whether a route reads what anybody may see; where no admin allows that, nothing is."""
    if route not in OPENED or not request.app.state.settings.anybody:
        return False
    what, part = OPENED[route]
    id = names.get(part) or request.query_params.get(part, "")
    return bool(id) and store.is_opened(what, str(id))

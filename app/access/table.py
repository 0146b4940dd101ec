"""The table of a shared server: which role each route asks for at least, and what it changes.

A route without a row is refused to everybody; a test holds the table against the routes.
"""

from dataclasses import dataclass
from typing import Literal

from worker.contract.people import Role

Least = Literal["anybody"] | Role


@dataclass(frozen=True)
class Right:
    """Who may ask a route, and in the audit log's words what it changes; empty for nothing."""

    least: Least
    change: str = ""


def _read(least: Least, paths: str) -> dict[str, Right]:
    return {f"GET {path}": Right(least) for path in paths.split()}


def _look(least: Least, paths: str) -> dict[str, Right]:
    """What is posted because it is long, and changes nothing."""
    return {f"POST {path}": Right(least) for path in paths.split()}


def _change(least: Least, rows: dict[str, str]) -> dict[str, Right]:
    return {route: Right(least, words) for route, words in rows.items()}


RIGHTS: dict[str, Right] = {
    **_read(
        "anybody",
        "/healthz /readyz /login /login/provider /login/provider/leave /invitation/{secret} "
        "/join/{secret}",
    ),
    **_change(
        "anybody",
        {
            "POST /login": "signed in",
            "GET /login/provider/back": "signed in by the provider",
            "POST /invitation/{secret}": "accepted an invitation",
            "POST /join/{secret}": "joined a class",
        },
    ),
    # A person's own account and their own answers to lessons.
    **_change(
        "viewer",
        {
            "POST /logout": "signed out",
            "POST /account/password": "changed their password",
            "POST /account/sessions/{id}/end": "ended a session of theirs",
            "POST /account/tokens": "made a token",
            "POST /account/tokens/{id}/revoke": "revoked a token",
            "POST /lessons/name": "named themselves for a class",
            "POST /lessons/{name}/{number}": "answered in a lesson",
            # To leave a project; whom else one removes, its owners alone.
            "POST /projects/{id}/members/{person}/remove": "changed a project's members",
            "DELETE /api/projects/{id}/members/{person}": "changed a project's members",
        },
    ),
    **_read(
        "viewer",
        """
        / /account /api/openapi.json
        /api/bundles/{run_id} /api/facts /api/facts/{name} /api/facts/{name}/tokens
        /api/masks /api/masks/{mask_id} /api/menu /api/models
        /api/runs /api/runs/{run_id} /api/runs/{run_id}/arrays/{name}
        /api/runs/{run_id}/bundle.zip /api/runs/{run_id}/events /api/runs/{run_id}/exports
        /api/runs/{run_id}/files/{what} /api/runs/{run_id}/log /api/runs/{run_id}/mask.json
        /api/runs/{run_id}/model.zip /api/runs/{run_id}/result /api/runs/{run_id}/tables/{name}
        /api/texts /api/texts/{name:path}
        /classes /classes/{id}
        /bundles /bundles/{run_id} /compare /compare/figures/{figure}.{ending}
        /dossier /dossier/{run_id} /dossier/{run_id}/file /dossier/{run_id}/verdict
        /explore /explore/answers/{view}.json /explore/circuits/drawn.{ending}
        /explore/circuits/open /explore/facts /explore/figures/{view}.{ending}
        /explore/of/{run_id} /explore/propose /explore/rows/{view} /explore/swap /explore/take
        /explore/views/{view}
        /facts /facts/knowledge /facts/texts /facts/texts/show /facts/tokens /facts/upload
        /facts/upload/{upload_id} /facts/upload/{upload_id}/refused.csv
        /gallery /gallery/runs/{name} /gallery/{name} /gallery/{name}/figures/{figure}.{ending}
        /gallery/{name}/report.csv /gallery/{name}/report.json /glossary /handbook
        /lessons /lessons/progress.csv /lessons/{name} /lessons/{name}/notes
        /lessons/{name}/{number} /lessons/{name}/{number}/figures/{figure}
        /lessons/{name}/{number}/figures/{figure}.csv /lessons/{name}/{number}/made
        /lessons/{name}/{number}/rest
        /localize /masks /masks/editor /masks/new /masks/overlap.{ending} /masks/{mask_id}.json
        /api/projects /api/projects/{id} /projects /projects/{id} /sharing
        /models /probes /rewrite /rewrite/{run_id} /rewrite/{run_id}/dictionary.json
        /rewrite/{run_id}/tokens.csv
        /runs /runs/{run_id} /runs/{run_id}/facts /runs/{run_id}/figures/{figure}.{ending}
        /runs/{run_id}/gone/ahead /runs/{run_id}/result /runs/{run_id}/spec.json
        /runs/{run_id}/stream
        /stacks /studies /studies/built-in/{name}.json /studies/{run_id}
        /studies/{run_id}/report.csv /studies/{run_id}/report.json /unlearn /workers
        """,
    ),
    **_look(
        "viewer",
        """
        /api/explore/{view} /api/runs/check /localize/form /localize/preflight /masks/editor
        /probes/form /probes/preflight /rewrite/{run_id}/dictionary.json /rewrite/{run_id}/form
        /studies/form /studies/preflight /unlearn/form /unlearn/preflight
        """,
    ),
    # A class's answers are other people's.
    **_read("member", "/lessons/class.csv"),
    **_change(
        "member",
        {
            "POST /api/bundles": "brought a bundle",
            "POST /api/bundles/{run_id}/repeat": "queued a run",
            "POST /api/facts": "brought facts",
            "DELETE /api/facts/{name}": "deleted facts",
            "POST /api/facts/{name}/knowledge": "queued a run",
            "POST /api/facts/{name}/splits": "saved a split",
            "POST /api/masks": "saved a mask",
            "DELETE /api/masks/{mask_id}": "deleted a mask",
            "POST /api/runs": "queued a run",
            "DELETE /api/runs/{run_id}": "deleted a run",
            "POST /api/runs/{run_id}/cancel": "cancelled a run",
            "POST /api/runs/{run_id}/model": "queued a run",
            "POST /api/texts": "brought a text",
            "DELETE /api/texts/{name:path}": "deleted a text",
            "POST /bundles": "brought a bundle",
            "POST /classes": "made a class",
            "POST /classes/{id}": "changed a class",
            "POST /classes/{id}/end": "ended a class",
            "POST /classes/{id}/guests/{person}/remove": "let a guest go",
            "POST /classes/{id}/link": "made a class's link",
            "POST /classes/{id}/link/revoke": "revoked a class's link",
            "POST /bundles/{run_id}/repeat": "queued a run",
            "POST /explore/circuits": "saved a circuit",
            "POST /explore/circuits/delete": "deleted a circuit",
            "POST /facts/delete": "deleted facts",
            "POST /facts/derive": "made facts of others",
            "POST /facts/knowledge": "queued a run",
            "POST /facts/knowledge/split": "saved a split",
            "POST /facts/paste": "uploaded facts",
            "POST /facts/splits": "saved a split",
            "POST /facts/splits/delete": "deleted a split",
            "POST /facts/splits/file": "saved a split",
            "POST /facts/texts": "brought a text",
            "POST /facts/texts/delete": "deleted a text",
            "POST /facts/upload": "uploaded facts",
            "POST /facts/upload/{upload_id}": "brought facts",
            "POST /facts/upload/{upload_id}/discard": "discarded uploaded facts",
            "POST /lessons/{name}/{number}/make": "queued a lesson's runs",
            "POST /localize": "queued a run",
            "POST /masks": "saved a mask",
            "POST /masks/import": "brought a mask",
            "POST /masks/{mask_id}/controls": "saved masks",
            "POST /masks/{mask_id}/delete": "deleted a mask",
            "POST /models/add": "queued a model",
            "POST /probes": "queued a run",
            "POST /projects": "made a project",
            "POST /projects/{id}": "changed a project",
            "POST /projects/{id}/members": "changed a project's members",
            "POST /api/projects": "made a project",
            "POST /api/projects/{id}": "changed a project",
            "PUT /api/projects/{id}/members/{person}": "changed a project's members",
            "POST /sharing": "shared something",
            "POST /api/sharing": "shared something",
            "POST /rewrite": "queued a run",
            "POST /rewrite/{run_id}": "queued a run",
            "POST /rewrite/{run_id}/try": "queued a run",
            "POST /runs/many": "changed runs",
            "POST /runs/{run_id}/again": "queued a run",
            "POST /runs/{run_id}/delete": "deleted a run",
            "POST /runs/{run_id}/do/{doing}": "changed a run",
            "POST /runs/{run_id}/gone": "queued runs",
            "POST /runs/{run_id}/model": "queued a run",
            "POST /runs/{run_id}/rename": "renamed a run",
            "POST /stacks/combine": "queued a run",
            "POST /stacks/evaluate": "queued a run",
            "POST /studies": "queued a study",
            "POST /studies/start/{name}": "queued a study",
            "POST /unlearn": "queued a run",
        },
    ),
    **_read("admin", "/people /limits /audit /audit.csv"),
    **_change(
        "admin",
        {
            "POST /limits": "set limits",
            "POST /workers/pause": "paused a worker",
            "POST /workers/drain": "drained a worker",
            "POST /workers/resume": "resumed a worker",
            "POST /workers/move": "moved a run",
            "POST /workers/cancel": "cancelled a run",
            "POST /people/invitations": "made an invitation",
            "POST /people/invitations/{id}/withdraw": "withdrew an invitation",
            "POST /people/{name}/role": "changed a person's role",
            "POST /people/{name}/disable": "shut a person out",
            "POST /people/{name}/enable": "let a person in again",
        },
    ),
}
GUESTS: frozenset[str] = frozenset(
    {
        *_read(
            "guest",
            """
            / /api/facts /api/facts/{name} /api/facts/{name}/tokens /api/menu /api/models
            /api/runs /api/runs/{run_id} /api/runs/{run_id}/arrays/{name}
            /api/runs/{run_id}/bundle.zip /api/runs/{run_id}/events /api/runs/{run_id}/exports
            /api/runs/{run_id}/files/{what} /api/runs/{run_id}/log /api/runs/{run_id}/mask.json
            /api/runs/{run_id}/result /api/runs/{run_id}/tables/{name}
            /classes /classes/{id} /compare /compare/figures/{figure}.{ending}
            /dossier /dossier/{run_id} /dossier/{run_id}/file /dossier/{run_id}/verdict
            /explore /explore/answers/{view}.json /explore/circuits/drawn.{ending}
            /explore/circuits/open /explore/facts /explore/figures/{view}.{ending}
            /explore/of/{run_id} /explore/propose /explore/rows/{view} /explore/swap
            /explore/take /explore/views/{view}
            /facts /facts/tokens
            /gallery /gallery/runs/{name} /gallery/{name}
            /gallery/{name}/figures/{figure}.{ending} /gallery/{name}/report.csv
            /gallery/{name}/report.json /glossary /handbook
            /lessons /lessons/progress.csv /lessons/{name} /lessons/{name}/{number}
            /lessons/{name}/{number}/figures/{figure}
            /lessons/{name}/{number}/figures/{figure}.csv /lessons/{name}/{number}/made
            /lessons/{name}/{number}/rest
            /localize /masks/editor /probes
            /runs /runs/{run_id} /runs/{run_id}/facts
            /runs/{run_id}/figures/{figure}.{ending} /runs/{run_id}/gone/ahead
            /runs/{run_id}/result /runs/{run_id}/spec.json /runs/{run_id}/stream /unlearn
            """,
        ),
        *_look(
            "guest",
            """
            /api/explore/{view} /api/runs /api/runs/check /api/runs/{run_id}/cancel
            /lessons/{name}/{number} /lessons/{name}/{number}/make /localize /localize/form
            /localize/preflight /logout /masks/editor /probes /probes/form /probes/preflight
            /runs/{run_id}/again /runs/{run_id}/do/{doing} /runs/{run_id}/gone
            /unlearn /unlearn/form /unlearn/preflight
            """,
        ),
    }
)
"""The rows that are also for guests of classes, whom no other row lets in. What they ask for is
held against the class's rules where it is submitted or asked of a worker."""
VISITORS: frozenset[str] = frozenset(
    {
        *_read(
            "viewer",
            """
            / /api/runs/{run_id} /api/runs/{run_id}/arrays/{name} /api/runs/{run_id}/bundle.zip
            /api/runs/{run_id}/events /api/runs/{run_id}/exports /api/runs/{run_id}/files/{what}
            /api/runs/{run_id}/log /api/runs/{run_id}/mask.json /api/runs/{run_id}/result
            /api/runs/{run_id}/tables/{name}
            /dossier /dossier/{run_id} /dossier/{run_id}/file /dossier/{run_id}/verdict
            /explore /explore/answers/{view}.json /explore/circuits/drawn.{ending}
            /explore/circuits/open /explore/facts /explore/figures/{view}.{ending}
            /explore/of/{run_id} /explore/propose /explore/rows/{view} /explore/swap
            /explore/take /explore/views/{view}
            /gallery /gallery/runs/{name} /gallery/{name}
            /gallery/{name}/figures/{figure}.{ending} /gallery/{name}/report.csv
            /gallery/{name}/report.json /glossary /handbook
            /lessons /lessons/{name} /lessons/{name}/{number}
            /lessons/{name}/{number}/figures/{figure}
            /lessons/{name}/{number}/figures/{figure}.csv /lessons/{name}/{number}/made
            /lessons/{name}/{number}/rest
            /runs/{run_id} /runs/{run_id}/facts /runs/{run_id}/figures/{figure}.{ending}
            /runs/{run_id}/result /runs/{run_id}/spec.json /runs/{run_id}/stream
            """,
        ),
        *_look("viewer", "/api/explore/{view} /lessons/{name}/{number}"),
    }
)
"""The rows that an open house holds open for who has no account. Nothing of it writes: the store of
a visitor refuses to, and an answer in a lesson is kept by the visitor's own browser."""

"""Who sees something, in words, and what its owner may choose; for pages of a shared server."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from app.templating import person_of
from worker.contract.errors import NotFound
from worker.contract.projects import Visibility
from worker.store.sharing import Made
from worker.store.store import Store

WORDS: dict[Visibility, str] = {
    "private": "Only its owner and admins.",
    "project": "The members of a project, and admins.",
    "server": "Everybody who has an account here.",
    "anybody": "Anybody who has its address, also without an account.",
}


@dataclass(frozen=True)
class Seen:
    """The state of one thing, and the form's choices; none for who may not change it."""

    what: Made
    id: str
    back: str
    words: str
    value: str
    choices: tuple[tuple[str, str], ...] = ()
    title: str = ""


def seen_of(request: Request, store: Store, what: Made, id: str, row: Any) -> Seen | None:
    """What the form shows of `row`, which has owner, project and visibility.

    None on a server of one reader, for who has no account, and for what ships with Lethe.
    """
    me = person_of(request)
    if me is None or getattr(row, "bundled", False):
        return None
    title = _title(store, row.project)
    words = WORDS[row.visibility]
    if row.visibility == "project":
        words = f"The members of {title or 'its project'}, and admins."
    value = f"project:{row.project}" if row.visibility == "project" else row.visibility
    query = f"?{request.url.query}" if request.url.query else ""
    found = Seen(what, id, f"{request.url.path}{query}", words, value)
    is_mine = me.role == "admin" or (me.role == "member" and row.owner == me.user)
    if not is_mine:
        return found
    offered = [("private", f"Nobody: {row.owner} alone" if row.owner else "Admins alone")]
    projects = {one.id: one.title for one in store.projects_to_add_to()}
    if row.project:
        projects.setdefault(row.project, title or "its project")
    offered += [(f"project:{id}", name) for id, name in projects.items()]
    offered.append(("server", "Everybody here"))
    if store.acting.may_open or row.visibility == "anybody":
        offered.append(("anybody", "Anybody, without an account"))
    return Seen(what, id, found.back, words, value, tuple(offered))


def _title(store: Store, project: str) -> str:
    try:
        return store.project(project).title if project else ""
    except NotFound:
        return ""

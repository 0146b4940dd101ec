"""Renders templates: a whole page on direct load, a fragment for htmx.

A page's template extends `layout` (base.html, or fragment.html for htmx) and fills `title` and
`main`. With `block="rows"`, an htmx request gets that block alone. Templates of plugins are named
`plugins/…`.
"""

import hashlib
import secrets
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from app import formats
from app.access import csrf
from app.access.rights import may, refusal_words, right_of
from app.access.session import VISITOR, Identity, Session
from app.backend import store
from app.discovery import NavItem
from app.forms import SUBMISSION
from app.prefix import within
from app.projects import FIELD, choices
from worker.contract import plugins

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "static"
TEMPLATES = ROOT / "templates"


def render(
    request: Request,
    template: str,
    *,
    block: str | None = None,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    """Answer with `templates/<template>` filled with `context`.

    htmx gets the template without its frame, or only its block named `block`.
    """
    fragment = wants_fragment(request)
    context = {
        "request": request,
        "layout": "fragment.html" if fragment else "base.html",
        "nav": _nav(request),
        "signed_in": person_of(request),
        "is_visitor": is_visitor(request),
        "path": request.url.path,
        "csrf_token": csrf.token(request),
        **context,
    }
    if "live_workers" not in context:
        context["live_workers"] = _live_workers(request)
    found = environment().get_template(template)
    if fragment and block:
        text = "".join(found.blocks[block](found.new_context(context)))
    else:
        text = found.render(context)
    answer = HTMLResponse(within(text), status_code, headers)
    answer.headers["Vary"] = "HX-Request"
    answer.headers.setdefault("Cache-Control", "private, no-cache")
    return answer


def person_of(request: Request) -> Identity | None:
    """Who is signed in on a shared server; None with a single user, and for nobody."""
    session: Session | None = request.scope.get("state", {}).get("session")
    return session.identity if session is not None and session.identity.role else None


def is_visitor(request: Request) -> bool:
    """Whether a shared server is read by somebody who has no account."""
    shared: bool = request.app.state.settings.shared
    return shared and request.scope.get("state", {}).get("session") is None


def _nav(request: Request) -> list[NavItem]:
    """The menu, on a shared server without what the reader may not see."""
    items: tuple[NavItem, ...] = request.app.state.nav
    return [item for item in items if _is_for(request, f"GET {item.path}")]


def _is_for(request: Request, route: str) -> bool:
    """Whether the reader may ask a route of the table of rights; a single user, any."""
    reader = person_of(request)
    if reader is None and not is_visitor(request):
        return True
    if reader is None and request.app.state.settings.open:
        reader = VISITOR
    return right_of(route) is not None and may(reader, route)


def render_fragment(template: str, **context: Any) -> str:
    """The text of a template by itself, for streams and for parts of an answer."""
    return within(environment().get_template(template).render(context))


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks for a part of a page; a restored or boosted page is a whole one."""
    headers = request.headers
    return (
        headers.get("hx-request") == "true"
        and headers.get("hx-request-type", "partial") != "full"
        and "hx-boosted" not in headers
        and "hx-history-restore-request" not in headers
    )


@lru_cache
def environment() -> jinja2.Environment:
    """The Jinja environment: escapes everything, and a misspelt name is an error."""
    env = jinja2.Environment(
        loader=_loader(),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals.update(static_url=static_url, csrf_field=csrf_field, may_change=may_change)
    env.globals.update(may_cancel=may_cancel, may_ask=may_ask, refusal=refusal)
    env.globals.update(project_field=project_field)
    env.filters.update(
        number=formats.number,
        percent=formats.percent,
        duration=formats.duration,
        size=formats.size,
        about=formats.about,
        choice=formats.choice,
        when=when,
    )
    # A block that is rendered alone does not see its template's imports.
    env.globals["ui"] = env.get_template("fragments/ui.html").module
    return env


def _loader() -> jinja2.BaseLoader:
    """Lethe's templates and, under `plugins/`, those of the plugins' folder."""
    own, folder = jinja2.FileSystemLoader(TEMPLATES), plugins.plugins_folder()
    if folder is None:
        return own
    brought = jinja2.FileSystemLoader(folder / plugins.TEMPLATES)
    return jinja2.ChoiceLoader([jinja2.PrefixLoader({"plugins": brought}), own])


def static_url(name: str) -> str:
    """The address of a file under `static/` with its content's hash, so that it may be kept."""
    return f"/static/{name}?v={_hash(name, (STATIC / name).stat().st_mtime_ns)}"


@cache
def _hash(name: str, modified: int) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


@jinja2.pass_context
def csrf_field(context: jinja2.runtime.Context) -> Markup:
    """The hidden fields that every posting form carries: its session's token, and its own key.

    The key makes what is sent twice one submission, a double click for example.
    """
    field = Markup('<input type="hidden" name="{}" value="{}">')
    return field.format(csrf.FIELD, context["csrf_token"]) + field.format(
        SUBMISSION, secrets.token_urlsafe(12)
    )


@jinja2.pass_context
def project_field(context: jinja2.runtime.Context, value: str = "") -> Markup:
    """The choice of who sees what a form makes; nothing for who adds to no project."""
    if context["signed_in"] is None or context["signed_in"].role == "guest":
        return Markup()
    offered = choices(store(context["request"]))
    if not offered:
        return Markup()
    known = value if value in dict(offered) else ""
    words = "What is started here is seen by you, or by the members of a project."
    field: Markup = context["ui"].select(FIELD, "Who sees it", offered, known, words)
    return field


@jinja2.pass_context
def may_change(context: jinja2.runtime.Context, owner: str) -> bool:
    """Whether the reader may change what is `owner`'s; the store refuses it in any case."""
    reader: Identity | None = context.get("signed_in")
    if context.get("is_visitor"):
        return False
    if reader is None or reader.role == "admin":
        return True
    return reader.role == "member" and reader.user == owner


@jinja2.pass_context
def may_cancel(context: jinja2.runtime.Context, owner: str) -> bool:
    """Whether the reader may cancel a run of `owner`'s: who may change it, and guests their own."""
    reader: Identity | None = context.get("signed_in")
    is_own = reader is not None and reader.role == "guest" and reader.user == owner
    return is_own or bool(may_change(context, owner))


@jinja2.pass_context
def may_ask(context: jinja2.runtime.Context, route: str) -> bool:
    """Whether the reader may ask a route of the table of rights, `POST /masks` for example."""
    request: Request | None = context.get("request")
    return request is None or _is_for(request, route)


@jinja2.pass_context
def refusal(context: jinja2.runtime.Context, route: str) -> str:
    """Why the reader may not ask a route, in a sentence; empty where they may."""
    if may_ask(context, route):
        return ""
    reader: Identity | None = context.get("signed_in")
    return refusal_words(reader, route)


def when(time: Any) -> Markup:
    """A time that the page's script rewrites in the reader's zone."""
    if time is None:
        return Markup("–")
    return Markup('<time datetime="{}">{}</time>').format(formats.iso(time), formats.utc(time))


def _live_workers(request: Request) -> list[Any]:
    return [w for w in request.app.state.opening.engine().store.workers() if w.alive]

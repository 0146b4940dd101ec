"""Circuits that leave Explore: the drawn one as a file, and those that were saved under a name."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import csv_text
from app.backend import EngineDep, StoreDep
from app.downloads import attachment
from app.failures import status
from app.pages.explore._canvas import read_canvas, read_edge
from app.pages.explore._circuit import Shown, circuits, pairs_of, shown
from app.pages.explore._circuit_contexts import ON_CIRCUIT
from app.pages.explore._contexts import sides_of
from app.pages.explore._drawn import Drawn, Scored, live
from app.pages.explore._subject import NAMES, Asker, Subject, read_subject
from app.templating import render, render_fragment, wants_fragment
from worker.contract.base import unknown
from worker.contract.errors import NotFound, UserError
from worker.engine.client import Engine
from worker.store.store import Store

router = APIRouter(prefix="/explore/circuits")
ENDINGS = ("svg", "json", "csv")
KNOWN = (*NAMES, *ON_CIRCUIT, "edge")
"""Names that a saved address has."""


@router.get("/drawn.{ending}")
def drawn(request: Request, ending: str, engine: EngineDep) -> Response:
    """The circuit as it is drawn: the drawing, its nodes and edges, or a table of its edges."""
    if ending not in ENDINGS:
        raise NotFound(unknown("file of a circuit", ending, list(ENDINGS)).message)
    asked = dict(request.query_params)
    subject = read_subject(asked)
    found = _shown(request, engine, subject, asked)
    side = -1 if asked.get("side") == "beside" else 0
    edges = found.all_edges[side][: found.size]
    if ending == "csv":
        return csv_text.respond(_rows(edges, found.unit), "circuit.csv")
    if ending == "svg":
        text, kind = _svg(found.drawn[side], found.size), "image/svg+xml"
    else:
        text, kind = _json(subject, asked, found, side, edges), "application/json"
    return Response(text, media_type=kind, headers=attachment(f"circuit.{ending}"))


def _shown(request: Request, engine: Engine, subject: Subject, asked: Mapping[str, str]) -> Shown:
    asker = Asker(engine, request.app.state.answers)
    pairs = pairs_of(asker, subject, asked)
    return shown(asker, pairs, circuits(asker, subject, asked), sides_of(subject), asked)


def _rows(edges: Sequence[Scored], unit: str) -> Iterator[Sequence[Any]]:
    alive = live(edges)
    yield "rank", "from", "to", f"score ({unit})", "spread over pairs", "on a way to the logits"
    for rank, one in enumerate(edges, 1):
        is_live = {one.sender, one.reader} <= alive
        yield rank, one.sender, one.reader, one.score, one.spread, "yes" if is_live else "no"


def _svg(drawing: Drawn, size: int) -> str:
    words = f"Circuit of {size} edges"
    text = render_fragment("fragments/explore/circuit_file.svg", drawn=drawing, label=words)
    return text.strip() + "\n"


def _json(
    subject: Subject,
    asked: Mapping[str, str],
    found: Shown,
    side: int,
    edges: Sequence[Scored],
) -> str:
    alive, canvas, share = live(edges), found.canvas, asdict(found.here[side])
    dots = [dot for dot in found.drawn[side].dots if dot.is_on]
    body = {
        "model": subject.beside if side else subject.model,
        "subject": {k: v for k in NAMES if (v := getattr(subject, k)) and "model" not in k},
        "facts": asked.get("over", ""),
        "pairs": found.n_pairs,
        "unit": found.unit,
        "of": found.n_edges,
        **share,
        "edges": [
            {"from": e.sender, "to": e.reader, "score": e.score, "spread": e.spread}
            | {"is_live": {e.sender, e.reader} <= alive}
            for e in edges
        ],
        "nodes": [{"name": d.name, "members": d.members, "score": d.score} for d in dots],
        "groups": {one.name: one.members for one in canvas.groups},
        "pinned": canvas.pinned,
        "hidden": canvas.hidden,
        "components": found.components if not side else None,
        "address": f"/explore?{_address(asked)}",
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _address(asked: Mapping[str, str]) -> str:
    return urlencode({name: asked[name] for name in KNOWN if asked.get(name)})


@router.post("")
async def save(request: Request, store: StoreDep) -> Response:
    """Keep the drawn circuit's address under a name."""
    form = await request.form()
    name, query = (str(form.get(part, "")) for part in ("name", "query"))
    owner = request.state.session.identity.user
    return await run_in_threadpool(_saved, request, store, name, query, owner)


def _saved(request: Request, store: Store, name: str, query: str, owner: str) -> Response:
    asked = {k: v[0] for k, v in parse_qs(query).items()}
    try:
        read_subject(asked)
        read_canvas(asked)
        read_edge(asked.get("edge", ""))
        store.save_circuit(name, _address(asked), owner=owner)
    except UserError as error:
        return _list(request, store, error)
    if wants_fragment(request):
        return _list(request, store)
    return RedirectResponse(f"/explore/circuits/open?{urlencode({'name': name.strip()})}", 303)


@router.post("/delete")
async def delete(request: Request, store: StoreDep) -> Response:
    """Delete a saved circuit."""
    form = await request.form()
    await run_in_threadpool(store.delete_circuit, str(form.get("name", "")))
    return await run_in_threadpool(_list, request, store)


@router.get("/open")
def open_one(store: StoreDep, name: str = "") -> Response:
    """Explore with a saved circuit."""
    return RedirectResponse(f"/explore?{store.circuit(name).query}#circuit", status_code=303)


def _list(request: Request, store: Store, error: UserError | None = None) -> Response:
    return render(
        request,
        "fragments/explore/saved_circuits.html",
        status_code=status(error) if error else 200,
        saved=store.circuits(),
        problem=error.message if error else "",
    )

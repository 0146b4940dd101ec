"""Dossier: the story of one edit on one page, from its facts to what is left of them."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app import leaving
from app.backend import StoreDep
from app.downloads import attachment
from app.drawing.find import offers
from app.figure_frames import figure_of
from app.pages.edits._dossier_file import dossier_file
from app.probe_table import aggregates
from app.templating import render
from app.verdicts import Verdict, verdict_among, verdict_of
from worker.contract.errors import NotFound, UserError
from worker.contract.facts import Fact
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.contract.selection import FactsSpec
from worker.contract.shots import forgotten
from worker.store.store import Store

NAV = ("Dossier", "/dossier")
router = APIRouter(prefix="/dossier")

LISTED = 64
"""Facts that the story lists by name."""


@router.get("")
def index(request: Request, store: StoreDep) -> Response:
    """Every edit whose story can be read."""
    edits = store.runs(kind="unlearn", state="done", limit=100)
    return render(request, "pages/dossiers.html", edits=edits)


@router.get("/{run_id}")
def show(request: Request, run_id: str, store: StoreDep) -> Response:
    """The story of one edit."""
    return render(request, "pages/dossier.html", offline=False, **_story(store, run_id))


@router.get("/{run_id}/file")
def file(run_id: str, store: StoreDep) -> Response:
    """The same as one file that opens without a server."""
    text = dossier_file(store, _story(store, run_id))
    return Response(text, media_type="text/html", headers=attachment(f"dossier-{run_id}.html"))


def _story(store: Store, run_id: str) -> dict[str, Any]:
    """What a dossier shows; UserError for a run that is no finished edit."""
    run = store.run(run_id)
    result = store.result(run_id)
    if run.kind != "unlearn" or result is None:
        raise UserError(
            f"The run {run_id!r} is {run.kind}, {run.state}; a dossier tells of a finished edit."
        )
    components = result.mask.components if result.mask else ()
    localization, facts = _localization(store, run), _facts(store, run, result)
    children = store.children(run_id)
    verdict = verdict_among(store, children)
    changed = sum(t.n_parameters for t in result.receipt.tensors) if result.receipt else None
    return {
        "run": run,
        "result": result,
        "facts": facts[:LISTED],
        "n_facts": len(facts),
        "located": _located(store, localization, components) if localization else None,
        "share": _share(store, run, changed) if changed is not None else None,
        **_card(verdict),
        "curves": [figure_of(run, offer) for offer in offers(result)],
        "probed": [_probed(store, one, verdict) for one in _evaluations(children)],
        "leaving": {
            "offers": leaving.offers(store, run, result),
            "model": leaving.model_of(store, run),
        },
        "spec_json": json.dumps(run.spec, indent=2, ensure_ascii=False),
    }


@router.get("/{run_id}/verdict")
def verdict(request: Request, run_id: str, store: StoreDep) -> Response:
    """The verdict's card, or how far it has come."""
    found = verdict_of(store, run_id)
    return render(request, "fragments/dossier_verdict.html", run=store.run(run_id), **_card(found))


def _card(found: Verdict | None) -> dict[str, Any]:
    """The verdict as the page shows it, with its one figure."""
    drawn = offers(found.result) if found and found.result else []
    first = [offer for offer in drawn if offer.figure == "verdict_bars"][:1]
    return {
        "verdict": found,
        "verdict_figures": [figure_of(found.run, offer) for offer in first] if found else [],
    }


def _facts(store: Store, run: RunRecord, result: Result) -> tuple[Fact, ...]:
    """The facts that were to be forgotten; none where the set is gone or has changed."""
    facts, seed = FactsSpec.model_validate(run.spec["facts"]), run.spec["seed"]
    try:
        return forgotten(store.fact_set(facts.set), facts, seed, result.provenance)
    except UserError:
        return ()


def _localization(store: Store, run: RunRecord) -> RunRecord | None:
    """The localization that the mask came from: the run's parent, or its stored mask's."""
    mask_id = (run.spec.get("mask") or {}).get("id")
    candidates = list(run.parents)
    if mask_id:
        # A mask may have been deleted since; the run's result still holds its components.
        with suppress(NotFound):
            candidates.append(store.mask(mask_id).localization or "")
    for one in filter(None, candidates):
        try:
            found = store.run(one)
        except NotFound:
            continue
        if found.kind == "localize" and found.has_result:
            return found
    return None


def _located(store: Store, run: RunRecord, mask: tuple[str, ...]) -> dict[str, Any]:
    result = store.result(run.id)
    assert result is not None
    figures = [figure_of(run, offer) for offer in offers(result)]
    for figure in figures:
        if figure["offer"].figure == "components_heatmap":
            figure["fixed"] = f"mask={','.join(mask)}"
    wanted = ("components_heatmap", "roles_heatmap")
    return {
        "run": run,
        "result": result,
        "figures": [f for f in figures if f["offer"].figure in wanted],
    }


def _share(store: Store, run: RunRecord, n_parameters: int) -> float | None:
    model = run.spec["model"]
    base = model if isinstance(model, str) else model["base"]
    menu = store.announcement()
    found = next((m for m in menu.models if m.id == base), None) if menu else None
    return n_parameters / found.n_parameters if found and found.n_parameters else None


def _evaluations(children: Sequence[RunRecord]) -> list[RunRecord]:
    return [one for one in children if one.kind == "evaluate" and one.has_result]


def _probed(store: Store, run: RunRecord, verdict: Verdict | None) -> dict[str, Any]:
    result = store.result(run.id)
    assert result is not None
    shown = [offer for offer in offers(result) if offer.figure == "probes_heatmap"]
    return {
        "run": run,
        "result": result,
        "tables": aggregates(result),
        "is_verdict": bool(verdict and verdict.card and verdict.run.id == run.id),
        "figures": [figure_of(run, offer) for offer in shown],
    }

"""Studies: compare masks and methods over seeds, watch the child runs, read table and front."""

import json
from typing import Any

import numpy as np
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import csv_text
from app.backend import EngineDep, StoreDep
from app.downloads import attachment
from app.experiment import Typed, subject
from app.experiment_routes import experiment_routes
from app.pages.studies import _study_form as form_of
from app.pages.studies._study_report import base, differences, figures, rows, table
from app.submission import key_of_form, submit
from app.templating import render, wants_fragment
from worker.contract.errors import NotFound, UserError
from worker.contract.menu import Announcement
from worker.contract.progress import FINAL_STATES
from worker.contract.records import RunRecord
from worker.contract.spec import StudySpec
from worker.contract.study import StudyReport
from worker.engine.client import Engine
from worker.engine.study.built_in import STUDIES, built_in_study
from worker.engine.study.paper import FIGURES, agreements, sentences
from worker.engine.study.report import report_of
from worker.engine.study.stages import stages
from worker.store.store import Store

NAV = ("Studies", "/studies")
TITLES = {
    "paper_comparison": "The paper's comparison on the bundled model",
    "paper_comparison_equal_options": "The same at equal options for every group",
    "every_method": "Every method with its defaults alone",
}


def context(form: Typed, engine: Engine, menu: Announcement) -> dict[str, Any]:
    """What the form and the page around it show."""
    choices = form_of.mask_choices(engine.store, menu)
    values = [value for value, _, _ in choices]
    masks = form_of.chosen(form, "masks", form_of.USUAL_MASKS, values)
    methods, evaluations = form_of.named(menu, "unlearning"), form_of.evaluations_of(menu)
    names = [m.name for m in methods], [m.name for m in evaluations]
    budgets = [(v, title) for v, title, group in choices if group != "Controls"]
    return {
        **subject(form, engine.store, menu),
        "wrong": {name: _said(form, name) for name in ("masks", "methods", "evaluations")},
        "mask_groups": {g: [c for c in choices if c[2] == g] for g in dict.fromkeys(
            group for _, _, group in choices)},
        "masks": masks,
        "methods": methods,
        "chosen_methods": form_of.chosen(form, "methods", ("localized_finetuning",), names[0]),
        "evaluations": evaluations,
        "chosen_evaluations": form_of.chosen(form, "evaluations", ("probes",), names[1]),
        "budgets": [*budgets, ("", "no budget: three components each")],
        "budget": form.get("budget", next((m for m in masks if "control" not in m), "")),
        "objectives": form_of.OBJECTIVES,
        "studies": engine.store.runs(kind="study", limit=20),
        "built_in": [(name, TITLES.get(name, name), built_in_study(name)) for name in STUDIES],
    }  # fmt: skip


def _said(form: Typed, name: str) -> list[str]:
    """What is wrong with a part of the form or with anything in it, each sentence once."""
    found = (s for field, s in form.problems if f"{field}.".startswith(f"{name}."))
    return list(dict.fromkeys(found))


router = APIRouter()
router.include_router(
    experiment_routes("study", "/studies", "pages/studies.html", form_of.read, context)
)


@router.post("/studies/start/{name}")
async def start(request: Request, name: str, engine: EngineDep) -> Response:
    """Start a built-in study as it is."""
    form = await request.form()

    def queue() -> str:
        spec = built_in_study(name).model_dump(mode="json")
        return submit(engine, spec, title=TITLES.get(name, name), key=key_of_form(form, name))

    address = f"/studies/{await run_in_threadpool(queue)}"
    if wants_fragment(request):
        return Response(headers={"HX-Redirect": address})
    return RedirectResponse(address, status_code=303)


@router.get("/studies/{run_id}")
def show(request: Request, run_id: str, store: StoreDep) -> Response:
    """One study: how far its child runs are, and what came of it."""
    run = _study(store, run_id)
    report = report_for(store, run_id) if run.has_result else None
    known: dict[str, Any] = {}
    if report is not None:
        is_papers = run.spec["facts"]["set"] == "athletes"
        known = {
            "report": report,
            "rows": rows(report),
            "base": base(report),
            "differences": differences(report),
            "figures": figures(report, f"/runs/{run_id}/figures", with_paper=False),
            "said": sentences(report) if is_papers else [],
            "agreed": agreements(report) if is_papers else [],
            "with_paper": False,
        }
    return render(
        request,
        "pages/study.html",
        block="progress",
        run=run,
        is_open=run.state not in FINAL_STATES,
        stages=stages(StudySpec.model_validate(run.spec), store.children(run_id)),
        has_paper=set(FIGURES) & set(run.spec["masks"]),
        **known,
    )


@router.get("/studies/{run_id}/report.json")
def report_json(run_id: str, store: StoreDep) -> Response:
    """The report as a file: what a gallery ships."""
    text = report_for(store, run_id).model_dump_json(indent=1)
    headers = attachment(f"{run_id}-report.json")
    return Response(text, media_type="application/json", headers=headers)


@router.get("/studies/{run_id}/report.csv")
def report_csv(run_id: str, store: StoreDep) -> Response:
    """Every value of every seed."""
    return csv_text.respond(table(report_for(store, run_id)), f"{run_id}-report.csv")


@router.get("/studies/built-in/{name}.json")
def spec_json(name: str) -> Response:
    """A built-in study's spec, to be changed and sent by the API or the command line."""
    text = json.dumps(built_in_study(name).model_dump(mode="json"), indent=2)
    return Response(text, media_type="application/json")


def report_for(store: Store, run_id: str) -> StudyReport:
    """The report of a finished study."""
    run, result = _study(store, run_id), store.result(run_id)
    if result is None:
        raise NotFound(f"The study {run_id!r} is {run.state} and has no result yet.")
    file = result.arrays["study.values"].file
    with store.artifacts.open(f"runs/{run_id}/{file}") as stream:
        values = np.load(stream, allow_pickle=False)["study.values"]
    return report_of(result, values, title=run.title)


def _study(store: Store, run_id: str) -> RunRecord:
    run = store.run(run_id)
    if run.kind != "study":
        raise UserError(f"The run {run_id!r} is a {run.kind} and no study; see /runs/{run_id}.")
    return run

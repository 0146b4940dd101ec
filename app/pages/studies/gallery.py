"""Gallery: what ships finished: runs of the bundled model, and studies beside the paper's figures.

A study ships as its report: `report.json` of `lethe run`, put under static/gallery. A run is an
ordinary one once it is opened: it is put into the store then (worker/engine/examples.py).
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import csv_text
from app.backend import StoreDep
from app.figure_files import answer
from app.pages.studies._study_report import base, differences, draw, figures, rows, table
from app.shipped import RUNS
from app.templating import STATIC, render
from worker.contract.base import unknown
from worker.contract.errors import NotFound
from worker.contract.study import StudyReport
from worker.engine.examples import bring, checked, shown
from worker.engine.study.paper import FIGURES, SOURCE, agreements, sentences
from worker.store.acting import NOBODY

NAV = ("Gallery", "/gallery")
FOLDER = STATIC / "gallery"


class About(NamedTuple):
    """What a reader of a shipped study must know, and its title."""

    title: str
    note: str = ""
    unsettled: tuple[str, ...] = ()
    """What its numbers do not settle, sentence by sentence."""


SHIPPED = {
    "every_method_smollm2": About(
        "Every method with its defaults alone, on SmolLM2",
        "Sixteen places' continents are forgotten, or edited to another continent, through the "
        "MLPs that fact lookup chose. The model is SmolLM2-135M-Instruct, dequantized from 4 bits; "
        "nobody trained it on these facts. Every trained method searched its own settings first, "
        "as it does on any model but the bundled one. Retain facts are known ones on which no "
        "edit trained.",
        (
            "One seed: nothing here says how far another draw of facts would differ.",
            "The time above is that of all parts one after another, of one core beside other work.",
            "Only localized fine-tuning, MEMIT and AlphaEdit do as meant, leave nine tenths of the "
            "retain facts' probability and change ordinary text's perplexity by less than 5 %. "
            "Several others miss the nine tenths by two hundredths, which one draw cannot settle.",
            "A search looks at six other facts; it expected less harm than sixteen facts then did.",
            "Methods that unlearn have no edit target: their edit answer says only where the "
            "probability went.",
        ),
    ),
    "paper_comparison_smollm2": About(
        "The paper's comparison on SmolLM2, reduced: its advantage is not there",
        "Sixteen known places' continents are edited to another continent through MLPs of equal "
        "size: those that fact lookup chose, those of causal tracing and of attribution patching, "
        "and random ones. The model is SmolLM2-135M-Instruct, dequantized from 4 bits; nobody "
        "trained it on these facts. All groups have the same options: 30 steps at a rate of "
        "0.0003, in one prompt.",
        (
            "Fact lookup's edits spread less far to held-out paraphrases than those of causal "
            "tracing's and attribution patching's MLPs and random MLPs, and harm other places' "
            "answers there more; both differences have intervals without 0. In the trained prompt "
            "the groups keep equally much.",
            "They disturb what a probe reads of the places' states more than all others do, as "
            "the paper finds of latent knowledge.",
            "Three seeds: an interval of three numbers reaches hardly beyond them. Two of the "
            "three draws chose MLPs 2 to 8, one MLPs 0 to 8.",
            "One rate for all is not the best for each: nothing was searched. Five of the paper's "
            "nine groups, relearning and ordinary facts in other formats are missing.",
            "Multiple choice and questions say nothing: the model is at chance there before any "
            "edit. What is said below of agreement in multiple choice therefore cannot be said of "
            "this model.",
            "The time above is that of the last part; earlier parts were taken up as they were, "
            "some two hours of one core beside other work in all.",
            "Why it is so was not found out: 16 facts, one trained wording, weights of 4 bits and "
            "a small model are all candidates.",
        ),
    ),
    "paper_comparison": About(
        "The paper's comparison on the bundled model",
        "The bundled model was trained so that it looks a name up in its first layers, where the "
        "paper finds this in large models (its card says how). It shows what each way of choosing "
        "components does where that is so, not that it is so in other models: on weights trained "
        "without it, also in the gallery, fact lookup is hardly told apart from causal tracing and "
        "attribution patching. The effect was also a goal that these weights had to meet.",
        (
            "One search served all seeds, on athletes of which no seed's comparison edits one; the "
            "intervals leave its own spread out. It still gave the groups different rates, 0.001 "
            "to 0.009: the same comparison at equal options is in the gallery beside this one.",
            "Harm to multiple choice of the other athletes does not tell fact lookup from causal "
            "tracing, attribution patching or the MLPs of either: every such difference has an "
            "interval that holds 0.",
            "Random components reach multiple choice 0.18 [0.06, 0.30] less far than fact lookup, "
            "random MLPs 0.14 [0.04, 0.24], all MLPs 0.05 [0.03, 0.07] and everything 0.10 [0.06, "
            "0.13]; the paper's gaps are larger, so most of the effect here is against components "
            "that write the answer.",
            "Relearning and latent probes were not measured in this run: an older one, in the "
            "gallery too, has them.",
            "Fact lookup chose MLPs 0 to 2 in these five draws; seed 12 gives MLPs 1 to 3.",
        ),
    ),
    "paper_comparison_equal_options": About(
        "The paper's comparison at equal options",
        "Every group was edited at a learning rate of 0.003 and a forget weight of 0.5, so that "
        "only the place differs. Weights, athletes and seeds are those of the comparison with "
        "searched options.",
        (
            "Everything reaches multiple choice as far as fact lookup does: the interval of the "
            "difference, 0.04 [−0.00, 0.09], holds 0. It harms more at this rate, by "
            "0.05 [0.02, 0.10] in statements and 0.07 [0.00, 0.14] in multiple choice; "
            "at 0.001 it does not.",
            "Equal options are not equally good ones: at them the MLPs of causal tracing and "
            "attribution patching spread to 0.18 and 0.23 in multiple choice, at searched ones to "
            "0.60 and 0.64, and random MLPs to 0.59 and 0.83.",
            "Harm to multiple choice does not tell fact lookup from causal tracing, attribution "
            "patching or the MLPs of either.",
            "Relearning and latent probes were not measured in this run.",
        ),
    ),
    "paper_comparison_relearned": About(
        "An older comparison, with relearning and latent probes",
        "Measured on the same weights and seeds before each search had athletes of its own. It is "
        "kept for what the other two runs left out: relearning and latent probes.",
        (
            "The groups were not edited alike: the search gave fact lookup a lower rate and weight "
            "than causal tracing and attribution patching, and five of nine groups took the "
            "highest rate that was tried.",
            "One search served all seeds, shared up to three athletes with a comparison, and its "
            "score saturates near 1; the intervals leave its own spread out.",
            "Attribution patching took gradients on the corrupted run, the paper on the clean one.",
        ),
    ),
    "paper_comparison_freely_trained": About(
        "The same comparison on freely trained weights",
        "These weights do not ship: the training that made them had not yet the two measures that "
        "put the lookup of a name into the bundled model's first layers (its card names them). "
        "Their first MLP did what the embeddings do in large models. Causal tracing and "
        "attribution patching rank that MLP high too, and an edit of it reaches multiple choice.",
    ),
}
router = APIRouter(prefix="/gallery")


def reports(folder: Path) -> dict[str, StudyReport]:
    """Every shipped report, by its file's name."""
    return {
        path.stem: _read(path, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.json"))
    }


@lru_cache(maxsize=32)
def _read(path: Path, modified: int) -> StudyReport:
    return StudyReport.model_validate_json(path.read_text(encoding="utf-8"))


def report_named(name: str) -> StudyReport:
    """One shipped report; NotFound that names the nearest."""
    found = reports(FOLDER)
    if name not in found:
        raise NotFound(unknown("study in the gallery", name, list(found)).message)
    return found[name]


def about(name: str, report: StudyReport) -> About:
    """What is said of a study above its numbers; one of the reader's own has its title."""
    return SHIPPED.get(name, About(report.title))


@router.get("")
def index(request: Request) -> Response:
    """Every study of the gallery."""
    found = [(name, about(name, one).title, one) for name, one in reports(FOLDER).items()]
    return render(request, "pages/galleries.html", found=found, examples=list(shown()))


@router.get("/runs/{name}")
def open_run(name: str, store: StoreDep) -> Response:
    """Open a finished run that ships: as the ordinary run that it is, or as its dossier."""
    # They are nobody's, and the server sees them, whoever opens one first; but for visitors, for
    # whom nothing is written, an open house has them ready.
    run_id = bring(name, RUNS, store if store.acting.visit else store.acting_for(NOBODY))
    address = "/dossier/" if checked(name).tells else "/runs/"
    return RedirectResponse(f"{address}{run_id}", status_code=303)


@router.get("/{name}")
def show(request: Request, name: str) -> Response:
    """One study as measured, beside the paper's figures for the masks that the paper has."""
    report = report_named(name)
    masks = {group.mask for group in report.groups}
    with_paper = len(masks) > 1 and not masks.isdisjoint(FIGURES)  # the paper compares masks
    return render(
        request,
        "pages/gallery.html",
        name=name,
        about=about(name, report),
        report=report,
        rows=rows(report),
        base=base(report),
        differences=differences(report),
        figures=figures(report, f"/gallery/{name}/figures", with_paper),
        said=sentences(report) if with_paper else [],
        agreed=agreements(report) if with_paper else [],
        with_paper=with_paper,
        source=SOURCE,
    )


@router.get("/{name}/report.csv")
def report_csv(name: str) -> Response:
    """Every value of every seed."""
    return csv_text.respond(table(report_named(name)), f"{name}.csv")


@router.get("/{name}/report.json")
def report_json(name: str) -> Response:
    """The report itself."""
    return Response(report_named(name).model_dump_json(indent=1), media_type="application/json")


@router.get("/{name}/figures/{figure}.{ending}")
def figure_file(request: Request, name: str, figure: str, ending: str) -> Response:
    """One figure's file."""
    ask = request.query_params.get
    return answer(
        request, ending, f"{name}_{figure}", lambda: draw(report_named(name), figure, ask)
    )

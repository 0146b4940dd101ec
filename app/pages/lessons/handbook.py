"""Handbook: every method and evaluation, from the descriptions that the forms are made from."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from app.backend import StoreDep
from app.pages.lessons._writing import Terms
from app.templating import render
from worker.contract.menu import MethodInfo, MethodKind
from worker.contract.named import methods_of
from worker.contract.records import RunRecord
from worker.contract.spec import parse_spec
from worker.store.store import Store

NAV = ("Handbook", "/handbook")
LOOKED_AT = 200
"""Finished runs, the newest, among which an example of each method is looked for."""
router = APIRouter(prefix="/handbook")


@dataclass(frozen=True)
class Chapter:
    """The methods of one kind, and the form that runs them."""

    kind: MethodKind
    title: str
    about: str
    form: str


CHAPTERS = (
    Chapter("localization", "Where is it?", "Methods that score parts of a model.", "/localize"),
    Chapter("unlearning", "Take it out", "Methods that change weights.", "/unlearn"),
    Chapter("evaluation", "Is it gone?", "What is asked before and after an edit.", "/probes"),
    Chapter("explore", "Look at one prompt", "Views of a single prompt.", "/explore"),
)


@router.get("")
def show(request: Request, store: StoreDep) -> Response:
    """Every method that a worker announced, by what it is for."""
    menu = store.announcement()
    examples = dict(_examples(store))
    chapters = [
        (chapter, [(one, examples.get((one.kind, one.name))) for one in _of(menu.methods, chapter)])
        for chapter in CHAPTERS
        if menu is not None
    ]
    return render(request, "pages/handbook.html", chapters=chapters, explain=Terms().explain)


def _of(methods: tuple[MethodInfo, ...], chapter: Chapter) -> list[MethodInfo]:
    found = (one for one in methods if one.kind == chapter.kind)
    return sorted(found, key=lambda one: one.title.casefold())


def _examples(store: Store) -> Iterator[tuple[tuple[str, str], RunRecord]]:
    """A finished run of each method, the newest last, so that it is what a reader is led to."""
    runs = store.runs(state="done", limit=LOOKED_AT)
    for run in reversed(runs):
        if run.kind in ("localize", "unlearn", "evaluate"):
            for kind, name, *_ in methods_of(parse_spec(run.spec)):
                yield (kind, name), run

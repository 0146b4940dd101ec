"""Masks: made from a localization or by hand, named, compared, matched by controls, exchanged."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.access.body import MOST_FIELDS
from app.backend import AnnouncementDep, StoreDep
from app.downloads import attachment
from app.drawing.drawing import Drawing, Offer
from app.figure_files import answer
from app.mask_editor import Editor, editor, mask_from
from app.pages.masks._mask_import import read_mask
from app.pages.masks._mask_overlap import overlap
from app.templating import render, wants_fragment
from worker.contract.choose import control
from worker.contract.errors import NotFound, UserError
from worker.contract.mask import ControlKind
from worker.contract.records import MaskRecord
from worker.engine.announced import announced
from worker.engine.resolve import model_info
from worker.store.store import Store

NAV = ("Masks", "/masks")
router = APIRouter(prefix="/masks")

CONTROLS: dict[ControlKind, str] = {
    "random": "random components",
    "random_mlps": "random MLPs",
    "all_mlps": "all MLPs",
    "all": "everything",
}


@router.get("")
def show(request: Request, store: StoreDep, model: str = "") -> Response:
    """Every mask, newest first, and how far they overlap."""
    return _list(request, store, model)


def _list(
    request: Request,
    store: Store,
    model: str = "",
    problems: list[tuple[str, str]] | None = None,
    code: int = 200,
) -> Response:
    masks = store.masks(model or None)
    menu = store.announcement()
    sizes = {m.id: m.n_parameters for m in menu.models} if menu else {}
    return render(
        request,
        "pages/masks.html",
        status_code=code,
        masks=masks,
        shares={m.id: m.n_parameters / sizes[m.model] for m in masks if sizes.get(m.model)},
        model=model,
        models=(models := sorted({m.model for m in store.masks()})),
        model_choices=[(name, name) for name in models],
        localizations=store.runs(kind="localize", state="done", limit=8, of_study=False),
        overlap=_overlap_figure(model) if len(masks) > 1 else None,
        problems=dict(problems or []),
    )


def _overlap_figure(model: str) -> dict[str, Any]:
    return {
        "id": "figure-overlap",
        "address": "/masks/overlap",
        "fixed": f"model={model}" if model else "",
        "offer": Offer("overlap", "How far masks overlap"),
        "is_live": False,
    }


@router.get("/overlap.{ending}")
def overlap_file(request: Request, ending: str, store: StoreDep, model: str = "") -> Response:
    """The overlap of every two masks, as a figure's file."""
    return answer(request, ending, "overlap", lambda: _overlap(store, model))


def _overlap(store: Store, model: str) -> Drawing:
    menu = store.announcement()
    masks = store.masks(model or None)[:40]
    if not masks:
        raise NotFound("There is no mask yet; make one, and another to compare it with.")
    counts = {m.id: m.component_parameters for m in menu.models} if menu else {}
    return overlap(masks, counts)


@router.get("/new")
def new(request: Request, store: StoreDep, menu: AnnouncementDep) -> Response:
    """The editor on a page of its own: of a localization, or by hand for a model."""
    asked = _asked(FormData(list(request.query_params.multi_items())))
    return render(
        request,
        "pages/mask_new.html",
        mask=_editor(store, asked),
        models=[m for m in menu.models if not m.problem],
    )


@router.get("/editor")
def edit(request: Request, store: StoreDep, part: str = "") -> Response:
    """The editor after a change: whole, or only the mask it holds (`part=state`)."""
    return _edited(request, store, FormData(list(request.query_params.multi_items())), part)


@router.post("/editor")
async def edit_many(request: Request, store: StoreDep, part: str = "") -> Response:
    """The same for more boxes than an address has room for."""
    form = await request.form(max_fields=MOST_FIELDS)
    given = FormData([*request.query_params.multi_items(), *form.multi_items()])
    return await run_in_threadpool(_edited, request, store, given, part)


def _edited(request: Request, store: Store, form: FormData, part: str) -> Response:
    asked = _asked(form)
    template = "fragments/mask_state.html" if part == "state" else "fragments/mask_editor.html"
    return render(request, template, mask=_editor(store, asked))


def _asked(form: FormData) -> dict[str, Any]:
    given: dict[str, Any] = {k: v for k, v in form.multi_items() if isinstance(v, str)}
    return {**given, "components": [c for c in form.getlist("components") if isinstance(c, str)]}


def _editor(store: Store, asked: dict[str, Any]) -> Editor:
    run_id = asked.get("localization", "")
    if run_id:
        store.run(run_id)
    announced(store)
    found = editor(store, run_id, asked, asked.get("model") or "demo")
    assert found is not None, "there is a menu"
    return found


@router.post("")
async def save(request: Request, store: StoreDep) -> Response:
    """Save the editor's mask as the next version of its name."""
    asked = _asked(await request.form(max_fields=MOST_FIELDS))
    try:
        record = await run_in_threadpool(_save, store, asked)
    except UserError as error:
        return render(
            request,
            "fragments/mask_saved.html",
            status_code=422,
            saved=None,
            problems=error.problems,
        )
    if wants_fragment(request):
        return render(request, "fragments/mask_saved.html", saved=record, problems=[])
    return RedirectResponse("/masks", status_code=303)


def _save(store: Store, asked: dict[str, Any]) -> MaskRecord:
    edited = _editor(store, {**asked, "hand": "1"})
    source = asked.get("source") or edited.source
    mask = mask_from(edited).model_copy(update={"source": source[:2000]})
    if not asked.get("name", "").strip():
        raise UserError("The mask has no name; give it one to find it again.", field="name")
    return store.save_mask(asked["name"], edited.model.id, mask, localization=edited.run_id or None)


@router.post("/import")
async def take_in(request: Request, store: StoreDep, menu: AnnouncementDep) -> Response:
    """Save a mask from a JSON file as this page gives it."""
    form = await request.form(max_part_size=1_000_000)
    file = form.get("file")
    try:
        data = await file.read(1_000_001) if isinstance(file, UploadFile) else b""
        await run_in_threadpool(read_mask, data, store, menu)
    except UserError as error:
        problems = [("file", sentence) for _, sentence in error.problems]
        return await run_in_threadpool(_list, request, store, "", problems, 422)
    return RedirectResponse("/masks", status_code=303)


@router.post("/{mask_id}/controls")
def make_controls(
    request: Request,
    mask_id: str,
    store: StoreDep,
    menu: AnnouncementDep,
    seed: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Make the four matched controls of a mask, as masks with names of their own."""
    record = store.mask(mask_id)
    parameters = model_info(record.model, menu).component_parameters
    for kind, words in CONTROLS.items():
        mask = control(kind, parameters, record.n_parameters, seed)
        named = f"{record.name} v{record.version} · {words}"
        matched = mask.model_copy(
            update={"source": f"{mask.source}, matched to {record.name} v{record.version}"}
        )
        store.save_mask(named[:200], record.model, matched)
    return RedirectResponse(f"/masks?model={record.model}", status_code=303)


@router.post("/{mask_id}/delete")
def delete(mask_id: str, store: StoreDep) -> Response:
    """Delete one version of a mask."""
    store.delete_mask(mask_id)
    return RedirectResponse("/masks", status_code=303)


@router.get("/{mask_id}.json")
def download(mask_id: str, store: StoreDep) -> Response:
    """The mask as a file that can be imported elsewhere."""
    record = store.mask(mask_id)
    if record is None:
        raise NotFound(f"There is no mask {mask_id!r}.")
    body = {
        "name": record.name,
        "model": record.model,
        "components": list(record.components),
        "n_parameters": record.n_parameters,
        "source": record.source,
    }
    return Response(
        json.dumps(body, indent=2, ensure_ascii=False) + "\n",
        media_type="application/json",
        headers=attachment(f"mask-{record.id}.json"),
    )

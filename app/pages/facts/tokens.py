"""How a model's tokenizer cuts a fact set: what to look at before any run, with the cure."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.backend import AnnouncementDep, EngineDep
from app.knowledge import ask_tokens
from app.pages.facts.facts import chosen_set
from app.templating import render
from worker.contract.errors import UserError

router = APIRouter(prefix="/facts/tokens")


@router.get("")
def show(request: Request, engine: EngineDep, menu: AnnouncementDep) -> Response:
    """The set that the address names, as the model that it names cuts it."""
    sets = engine.store.fact_sets()
    chosen = chosen_set(engine.store, sets, request.query_params.get("set", ""))
    model = request.query_params.get("model", "")
    known: dict[str, Any] = {"found": None, "problem": ""}
    if chosen is not None and model:
        try:
            known["found"] = ask_tokens(engine, chosen, model)
        except UserError as error:
            known["problem"] = error.message
    return render(
        request,
        "pages/tokens.html",
        block="cut",
        status_code=422 if known["problem"] else 200,
        chosen=chosen,
        sets=[(one.name, f"{one.title or one.name} ({one.n_facts})") for one in sets],
        models=[(one.id, one.title or one.id) for one in menu.models if not one.problem],
        model=model,
        **known,
    )

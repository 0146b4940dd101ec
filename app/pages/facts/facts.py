"""Facts: the sets, their facts by pages, and splits into what to forget and what to keep."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams
from starlette.responses import RedirectResponse

from app.backend import StoreDep
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.errors import UserError
from worker.contract.menu import FactSetInfo
from worker.contract.selection import select
from worker.engine.announced import announced
from worker.store.store import Store

NAV = ("Facts", "/facts")
PAGE = 30
RULES = (
    ("first", "the first N"),
    ("random", "N at random, by a seed"),
    ("group", "one group"),
)
router = APIRouter()


@router.get("/facts")
def show(request: Request, store: StoreDep) -> Response:
    """The chosen set's facts, as the address' search, group and page leave them."""
    known = listing(store, request.query_params)
    return render(request, "pages/facts.html", block="list", **known)


def listing(
    store: Store,
    asked: QueryParams,
    typed: FormData | None = None,
    problems: list[tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """What the page shows for an address, and for a split that was refused."""
    sets = store.fact_sets()
    if not sets:
        announced(store)  # the first worker brings the sets that ship
    chosen = chosen_set(store, sets, asked.get("set", ""))
    search, group = asked.get("search", ""), asked.get("group", "")
    offset = int(text) if (text := asked.get("offset", "0")).isdecimal() and len(text) < 10 else 0
    facts, total = (
        store.facts_page(chosen.name, search=search, group=group, limit=PAGE, offset=offset)
        if chosen
        else ([], 0)
    )
    kept = {"set": chosen.name if chosen else "", "search": search, "group": group}
    kept = {name: value for name, value in kept.items() if value}

    def page(at: int) -> str:
        return "/facts?" + urlencode({**kept, "offset": at} if at else kept)

    errors = dict(problems or [])
    return {
        "sets": sets,
        "chosen": chosen,
        "facts": facts,
        "total": total,
        "offset": offset,
        "limit": PAGE,
        "search": search,
        "group": group,
        "group_choices": [("", "Any"), *((g, g) for g in (chosen.groups if chosen else ()))],
        "page": page,
        "rules": RULES,
        "typed": {k: str(v) for k, v in (typed or {}).items()},
        "ticked": set(map(str, typed.getlist("fact"))) if typed else set(),
        "errors": errors,
        "split_sizes": store.split_sizes(chosen.name) if chosen else {},
    }


def chosen_set(store: Store, sets: list[FactSetInfo], name: str) -> FactSetInfo | None:
    """The set of this name, by default the first; raise NotFound for a name that is none."""
    if not name:
        return sets[0] if sets else None
    found = next((one for one in sets if one.name == name), None)
    if found is None:
        store.facts_page(name, limit=1)
    return found


@router.post("/facts/splits")
async def split(request: Request, store: StoreDep) -> Response:
    """Save a split under a name; a refused one is said beside its field."""
    form = await request.form()
    back = str(form.get("back", ""))
    try:
        await run_in_threadpool(_save_split, store, form)
    except UserError as error:
        if not form.get("set"):
            raise
        asked = QueryParams(back or urlencode({"set": str(form["set"])}))
        known = await run_in_threadpool(listing, store, asked, form, error.problems)
        return render(request, "pages/facts.html", block="list", status_code=422, **known)
    return RedirectResponse(f"/facts?{back}", status_code=303)


def _save_split(store: Store, form: FormData) -> None:
    by_hand = form.get("do") == "ticked"
    name = str(form.get("ticked_split" if by_hand else "split", "")).strip()
    field = "ticked" if by_hand else "split"
    rule, set_name = str(form.get("rule", "first")), str(form.get("set", ""))
    refuse_odd_text([name, set_name])
    if not name:
        raise UserError("name is empty; expected a word to find the split by.", field=field)
    fact_set = store.fact_set(set_name)
    if by_hand:
        ids = [str(one) for one in form.getlist("fact")]
        if not ids:
            raise UserError(
                "No row is ticked; tick the facts to forget, or save a split by a rule.",
                field="ticked",
            )
        if form.get("add") and name in fact_set.splits:
            ids = list(dict.fromkeys([*fact_set.splits[name], *ids]))
    else:
        ids = _ids_by_rule(fact_set, rule, form)
    if len(name) > 100:
        raise UserError(f"name has {len(name)} characters; expected at most 100.", field=field)
    try:
        store.save_split(set_name, name, ids)
    except UserError as error:
        raise UserError(error.message, field=field) from None


def _ids_by_rule(fact_set: Any, rule: str, form: FormData) -> list[str]:
    argument = str(form.get("of_group" if rule == "group" else "n", "")).strip()
    seed = str(form.get("seed", "0")).strip() or "0"
    if not seed.isdecimal() or int(seed) >= 2**31:
        raise UserError(
            f"seed is {seed[:40]!r}; expected a whole number from 0 to 2147483647.", field="seed"
        )
    try:
        chosen = select(fact_set, f"{rule}:{argument}", int(seed))
    except UserError as error:
        field = "of_group" if rule == "group" else "n" if rule in ("first", "random") else "rule"
        raise UserError(error.message, field=field) from None
    return [fact.id for fact in chosen.forget]


@router.post("/facts/splits/delete")
async def delete_split(request: Request, store: StoreDep) -> Response:
    """Delete a split; its facts stay."""
    form = await request.form()
    set_name, name = str(form.get("set", "")), str(form.get("split", ""))
    await run_in_threadpool(store.save_split, set_name, name, [])
    return RedirectResponse(f"/facts?{urlencode({'set': set_name})}", status_code=303)


@router.post("/facts/delete")
async def delete(request: Request, store: StoreDep) -> Response:
    """Delete a set that was brought."""
    form = await request.form()
    await run_in_threadpool(store.delete_fact_set, str(form.get("set", "")))
    return RedirectResponse("/facts", status_code=303)

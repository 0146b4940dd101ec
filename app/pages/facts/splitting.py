"""Splits by a file of ids or subjects, and sets in which a whole group gets another answer."""

import csv
import io
import json
from collections.abc import Iterator
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.responses import RedirectResponse

from app.backend import StoreDep
from app.pages.facts.facts import listing
from app.submission import refuse_odd_text
from app.templating import render
from worker.contract.errors import NotFound, UserError
from worker.contract.facts import FactSet
from worker.contract.given_name import given_name
from worker.contract.selection import FactsSpec, retarget, select
from worker.contract.texts import decode
from worker.store.store import Store

router = APIRouter(prefix="/facts")
HEADERS = ("id", "case_id", "fact_id", "subject", "athlete", "entity", "name")
"""Names by which the column of ids or subjects is known."""


@router.post("/splits/file")
async def by_file(request: Request, store: StoreDep) -> Response:
    """Save a split of the facts that a file lists by ids or subjects."""
    form = await request.form(max_files=1, max_fields=10)
    file = form.get("file")
    data = await file.read() if isinstance(file, UploadFile) and file.filename else b""
    try:
        await run_in_threadpool(_save_listed, store, form, data)
    except NotFound:
        raise
    except UserError as error:
        return await run_in_threadpool(_refused, request, store, form, error)
    return RedirectResponse(f"/facts?{urlencode({'set': _text(form, 'set')})}", status_code=303)


def _save_listed(store: Store, form: FormData, data: bytes) -> None:
    fact_set = store.fact_set(_text(form, "set"))
    name = _text(form, "file_split")
    refuse_odd_text([name])
    if not name or len(name) > 100:
        raise UserError(
            f"name has {len(name)} characters; expected 1 to 100, to find the split by.",
            field="file_split",
        )
    if not data:
        raise UserError(
            "No file was chosen, or it is empty; expected one id or subject a line.", field="file"
        )
    ids = listed_ids(fact_set, decode(data).text)
    try:
        store.save_split(fact_set.name, name, ids)
    except UserError as error:
        raise UserError(error.message, field="file_split") from None


def listed_ids(fact_set: FactSet, text: str) -> list[str]:
    """The ids of the facts that a list names, in the set's order.

    The list is JSON, one entry a line, or a table with a column of ids or subjects; a subject
    stands for every fact about it. Raises UserError that names the first entry that is neither.
    """
    known = {fact.id for fact in fact_set.facts}
    by_subject: dict[str, list[str]] = {}
    for fact in fact_set.facts:
        by_subject.setdefault(fact.subject.strip().casefold(), []).append(fact.id)
    chosen: set[str] = set()
    strange: list[tuple[int, str]] = []
    for number, entry in _entries(text):
        found = [entry] if entry in known else by_subject.get(entry.casefold(), [])
        chosen.update(found)
        if not found:
            strange.append((number, entry))
    if strange:
        number, entry = strange[0]
        raise UserError(
            f"{len(strange)} of the file's entries {'is' if len(strange) == 1 else 'are'} neither "
            f"an id nor a subject of {fact_set.name!r}; the first is {entry[:60]!r} in line "
            f"{number}. Take them out, or write them as the set does.",
            field="file",
        )
    if not chosen:
        raise UserError("The file lists nothing; expected one id or subject a line.", field="file")
    return [fact.id for fact in fact_set.facts if fact.id in chosen]


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """The entries of a list with their lines, without empty ones."""
    if text.lstrip().startswith("["):
        yield from _json_entries(text)
        return
    lines = text.splitlines()
    first = lines[0] if lines else ""
    delimiter = max("\t;,", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise UserError(f"This is no table: {error}. Check its quotes.", field="file") from None
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((head.index(name) for name in HEADERS if name in head), None)
    if column is None and len(head) > 1 and not _is_quoted(first):
        # A list of names without a header: a comma belongs to a name ("Smith, Ann").
        rows = [[line] for line in lines]
    for number, row in enumerate(rows, 1):
        is_header = number == 1 and column is not None
        cell = row[column or 0].strip() if len(row) > (column or 0) else ""
        if cell and not is_header:
            yield number, cell


def _is_quoted(line: str) -> bool:
    return line.lstrip().startswith('"')


def _json_entries(text: str) -> Iterator[tuple[int, str]]:
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(one, str | int) for one in listed):
        raise UserError("This is no JSON list of ids or subjects.", field="file")
    for number, one in enumerate(listed, 1):
        yield number, str(one).strip()


@router.post("/derive")
async def derive(request: Request, store: StoreDep) -> Response:
    """Store a set in which one group's facts have one other edit target."""
    form = await request.form()
    try:
        name = await run_in_threadpool(_derive, store, form)
    except NotFound:
        raise
    except UserError as error:
        return await run_in_threadpool(_refused, request, store, form, error)
    return RedirectResponse(f"/facts?{urlencode({'set': name})}", status_code=303)


def _derive(store: Store, form: FormData) -> str:
    fact_set = store.fact_set(_text(form, "set"))
    group, answer = _text(form, "derived_group"), _text(form, "answer")
    own = f"{fact_set.name}-{group}-to-{answer}".replace("/", "-").replace("\\", "-")
    name = _text(form, "derived") or own
    refuse_odd_text([group, answer, name])
    if not answer or len(answer) > 200:
        raise UserError(
            f"answer has {len(answer)} characters; expected 1 to 200, for example golf.",
            field="answer",
        )
    name = given_name(name, "fact set", field="derived")
    if any(known.name == name for known in store.fact_sets()):
        raise UserError(f"{name!r} is taken; choose another name.", field="derived")
    try:
        spec = FactsSpec(set=fact_set.name, forget=f"group:{group}", edit_to=answer)
        ids = tuple(fact.id for fact in select(fact_set, spec.forget).forget)
        changed = retarget(fact_set, spec)
    except UserError as error:
        is_group = error.problems[0][0] == "facts.forget"
        field = "derived_group" if is_group else "answer"
        raise UserError(error.message, field=field) from None
    words = f"{fact_set.title or fact_set.name}, in which {group} is edited to {answer}."
    splits = {**fact_set.splits, **({} if ":" in group else {group: ids})}
    store.save_fact_set(
        changed.model_copy(
            update={"name": name, "title": name, "description": words, "splits": splits}
        )
    )
    return name


def _refused(request: Request, store: Store, form: FormData, error: UserError) -> Response:
    asked = QueryParams(str(form.get("back", "")) or urlencode({"set": _text(form, "set")}))
    known = listing(store, asked, form, error.problems)
    return render(request, "pages/facts.html", block="list", status_code=422, **known)


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""

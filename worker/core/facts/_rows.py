"""From rows with columns to facts: columns found by name, and every refused row with its reason."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.menu import ReadFacts, RefusedRow
from worker.core.facts._cells import cell_text, records, text_list
from worker.core.facts._templates import compile_template

MAX_ROWS = 200_000
MAX_COLUMNS = 1_000
MAX_NAME = 200
"""Characters of a column's name."""
MAX_REASON = 500
"""Characters of the reason why a row was refused, which may quote the row."""

NAMES: dict[str, tuple[str, ...]] = {
    "id": ("id", "case_id", "fact_id", "prompt_id"),
    "subject": ("subject", "athlete", "entity", "name", "head"),
    "prompt": ("prompt", "template", "statement", "cloze"),
    "target": ("target", "target_true", "answer", "object", "sport", "true", "tail"),
    "edit_target": (
        "edit_target",
        "target_new",
        "target_false",
        "inject_sport_without_golf",
        "new",
        "edit",
    ),
    "group": ("group", "relation_id", "relation", "category"),
    "question": ("question",),
    "paraphrases": ("paraphrases", "paraphrase_prompts", "paraphrase"),
    "neighbourhood": ("neighbourhood", "neighborhood", "neighborhood_prompts"),
    "translations": ("translations", "translated_prompts"),
    "ripples": ("ripples", "ripple"),
}
REQUIRED = ("subject", "prompt", "target")
_LISTS = ("paraphrases", "neighbourhood")
_RECORDS = ("translations", "ripples")


def find_columns(columns: Iterable[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Map a fact's fields to columns: as `mapping` says, otherwise by the columns' names.

    A mapping's value that begins with `=` is a text for every row, for example
    `{"prompt": "={} plays for {team} the sport of"}`, in which `{team}` is a column. Raises
    UserError for a field or column that is not there.
    """
    columns = list(columns)
    by_name = {column.strip().lower(): column for column in columns}
    found: dict[str, str] = {}
    for field, chosen in mapping.items():
        if field not in NAMES:
            raise UserError(
                f"A fact has no field {field!r}; expected one of {', '.join(NAMES)}.",
                field=f"mapping.{field}",
            )
        if not chosen:
            continue
        if not chosen.startswith("=") and chosen not in columns:
            raise UserError(
                f"The file has no column {chosen!r} for {field}; it has {_listed(columns)}.",
                field=f"mapping.{field}",
            )
        found[field] = chosen
    for field, names in NAMES.items():
        if field not in found and field not in mapping:
            match = next((by_name[name] for name in names if name in by_name), None)
            if match is not None:
                found[field] = match
    for field in REQUIRED:
        if field not in found:
            raise UserError(
                f"No column gives the {field}; the file has {_listed(columns)}. Name the column, "
                f"or give one text for all rows, beginning with '='.",
                field=f"mapping.{field}",
            )
    return found


def check_columns(columns: Sequence[str]) -> None:
    """Refuse more columns, and longer names, than a page can offer for a choice; and equal names.

    Raises UserError.
    """
    if len(columns) > MAX_COLUMNS:
        raise UserError(
            f"The file has {len(columns):,} columns; expected at most {MAX_COLUMNS:,}. Keep only "
            f"those that facts are made of.",
            field="file",
        )
    longest = max(columns, key=len, default="")
    if len(longest) > MAX_NAME:
        raise UserError(
            f"The name of the column {longest[:40]!r}… has {len(longest):,} characters; expected "
            f"at most {MAX_NAME}.",
            field="file",
        )
    twice = next((name for name, times in Counter(columns).items() if times > 1), None)
    if twice is not None:
        raise UserError(f"The column {twice[:60]!r} occurs twice; rename one.", field="file")


def read_rows(
    rows: Iterable[tuple[int, Mapping[str, Any]]],
    columns: Iterable[str],
    mapping: Mapping[str, str],
    format: str,
) -> ReadFacts:
    """Make facts of numbered rows; what is not understood is refused with its row number."""
    columns = tuple(columns)
    check_columns(columns)
    found = find_columns(columns, mapping)
    cells = _cells(found, columns)
    facts: dict[str, Fact] = {}
    refused: list[RefusedRow] = []
    for count, (number, row) in enumerate(rows):
        if count >= MAX_ROWS:
            raise UserError(
                f"The file has more than {MAX_ROWS:,} rows; split it into smaller files.",
                field="file",
            )
        try:
            fact = _fact(row, cells, number)
            if fact.id in facts:
                raise ValueError(f"id {fact.id!r} occurred before; ids must be unique")
            facts[fact.id] = fact
        except (ValueError, ValidationError) as error:
            text = " · ".join(str(v)[:120] for v in list(row.values())[:6])[:120]
            refused.append(RefusedRow(row=number, reason=_reason(error), text=text))
    if not facts:
        reason = f" Row {refused[0].row}: {refused[0].reason}" if refused else ""
        raise UserError(f"The file holds no fact that can be used.{reason}", field="file")
    notes = []
    if any(not f.edit_target for f in facts.values()):
        n = sum(not f.edit_target for f in facts.values())
        have = "fact has" if n == 1 else "facts have"
        notes.append(f"{n:,} {have} no edit target: good for unlearning, not for an edit.")
    return ReadFacts(
        format=format,
        columns=columns,
        mapping=found,
        facts=tuple(facts.values()),
        refused=tuple(refused),
        notes=tuple(notes),
    )


def template_of(prompt: str, subject: str) -> str:
    """Put `{}` where the subject stands last in a prompt; ValueError when it stands nowhere."""
    if "{}" in prompt:
        return prompt
    at = prompt.rfind(subject)
    if at < 0:
        raise ValueError(
            f"the subject {subject!r} is not in its prompt {prompt[:80]!r}; "
            f"expected it there, or {{}}"
        )
    return prompt[:at] + "{}" + prompt[at + len(subject) :]


Cell = Callable[[Mapping[str, Any]], Any]
"""From a row to what one field of its fact is made of."""


def _cells(found: Mapping[str, str], columns: tuple[str, ...]) -> dict[str, Cell]:
    return {field: _cell(field, column, columns, found) for field, column in found.items()}


def _cell(field: str, column: str, columns: tuple[str, ...], found: Mapping[str, str]) -> Cell:
    if not column.startswith("="):
        return lambda row: row.get(column)
    if field in _RECORDS:  # JSON, whose braces are no places
        return lambda row: column[1:]
    return compile_template(field, column[1:], columns, found["subject"])


def _fact(row: Mapping[str, Any], cells: Mapping[str, Cell], number: int) -> Fact:
    values: dict[str, Any] = {}
    for field, cell in cells.items():
        value = cell(row)
        if field in _RECORDS:
            values[field] = records(value, field)
        else:
            values[field] = text_list(value) if field in _LISTS else cell_text(value, field)
    for field in REQUIRED:
        if not values[field]:
            raise ValueError(f"{field} is empty; expected text")
    prompt = template_of(values["prompt"].rstrip(), values["subject"])
    if values.get("edit_target") and values["edit_target"] == values["target"]:
        raise ValueError(
            f"the edit target {values['edit_target']!r} equals the target; expected another answer"
        )
    identifier = values.get("id") or f"row-{number}"
    return Fact(**{**values, "id": identifier, "prompt": prompt, "group": _group(values)})


def _group(values: Mapping[str, Any]) -> str:
    """A fact without a group is grouped by its answer, as the sports facts are."""
    return str(values.get("group") or values["target"])[:200]


def _reason(error: Exception) -> str:
    reason = _sentence(error)
    return reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}…."


def _sentence(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        where = ".".join(str(p) for p in first["loc"])
        return f"{where}: {message}." if where else f"{message}."
    return f"{error}."


def _listed(columns: list[str]) -> str:
    shown = ", ".join(repr(c[:40]) for c in columns[:12])
    return (shown or "no columns") + (", …" if len(columns) > 12 else "")

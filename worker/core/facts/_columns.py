"""Which column of a table gives which field of a fact: by the columns' names, or as asked."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from worker.contract.errors import UserError
from worker.contract.facts import Fact

MAX_COLUMNS = 1_000
MAX_NAME = 200
"""Characters of a column's name."""
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
    "relation": ("relation", "relation_id"),
    "paraphrases": ("paraphrases", "paraphrase_prompts", "paraphrase"),
    "neighbourhood": ("neighbourhood", "neighborhood", "neighborhood_prompts"),
    "edit_neighbourhood": ("edit_neighbourhood", "attribute_prompts"),
    "options": ("options", "distractors"),
    "aliases": ("aliases", "answer_alias"),
    "translations": ("translations", "translated_prompts"),
    "ripples": ("ripples", "ripple"),
}
"""Field of a fact -> the names of columns that give it; a field without an entry has its own."""
FIELDS = (*Fact.model_fields, "occurrence")
"""What a column may give: a fact's fields, and which of several places its subject is."""
REQUIRED = ("subject", "prompt", "target")


def find_columns(columns: Iterable[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Map a fact's fields to columns: as `mapping` says, otherwise by the columns' names.

    A mapping's value that begins with `=` is a text for every row, for example
    `{"prompt": "={} plays for {team} the sport of"}`, in which `{team}` is a column. Raises
    UserError for a field or column that is not there.
    """
    columns = list(columns)
    found = by_name(columns, mapping)
    for field, chosen in mapping.items():
        if field not in FIELDS:
            raise UserError(
                f"A fact has no field {field!r}; expected one of {', '.join(FIELDS)}.",
                field=f"mapping.{field}",
            )
        if chosen and not chosen.startswith("=") and chosen not in columns:
            raise UserError(
                f"The file has no column {chosen!r} for {field}; it has {_listed(columns)}.",
                field=f"mapping.{field}",
            )
    for field in REQUIRED:
        if field not in found:
            raise UserError(
                f"No column gives the {field}; the file has {_listed(columns)}. Name the column, "
                f"or give one text for all rows, beginning with '='.",
                field=f"mapping.{field}",
            )
    _refuse_written_twice(columns, found, mapping)
    return found


def _refuse_written_twice(
    columns: Sequence[str], found: Mapping[str, str], mapping: Mapping[str, str]
) -> None:
    """Refuse to choose by name between columns that differ in capitals only; raise UserError."""
    for field, chosen in found.items():
        alike = [c for c in columns if c.strip().lower() == chosen.strip().lower()]
        if len(alike) > 1 and field not in mapping:
            raise UserError(
                f"The columns {_listed(alike)} could each give the {field}. Rename all but one, or "
                f"say which is meant.",
                field=f"mapping.{field}",
            )


def by_name(columns: Iterable[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Find what of a fact these columns give, unchecked: what is mapped, then what is named so."""
    known = {column.strip().lower(): column for column in columns}
    found = {field: chosen for field, chosen in mapping.items() if chosen}
    for field in FIELDS:
        if field not in mapping:
            names = NAMES.get(field, (field,))
            match = next((known[name] for name in names if name in known), None)
            if match is not None:
                found[field] = match
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


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(c[:40]) for c in columns[:12])
    return (shown or "no columns") + (", …" if len(columns) > 12 else "")

"""A method's options as form fields, and posted text as options.

Field names are dotted paths into the spec (`options.n_noises`), the same in forms, in the API's
`detail` and in a UserError. A form keeps what was typed, refused or not.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData

from app.schema import (
    FieldKind,
    Problems,
    bounds_of,
    check_options,
    choices_of,
    is_optional,
    kind_of,
    resolved,
    sentence,
)

SUBMISSION = "submission"
"""The hidden field of every posting form: a key that is another each time the form is drawn."""
__all__ = ["SUBMISSION", "FormField", "Problems", "check_options", "form_fields", "read_options"]


@dataclass(frozen=True)
class FormField:
    """One input of a form, as templates/fragments/ui.html draws it (macro `field`)."""

    name: str
    """The input's name: a dotted path into the spec."""
    label: str
    kind: FieldKind
    value: str
    """As typed; of `many`, the chosen values joined by commas."""
    default: str = ""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False
    error: str = ""

    @property
    def chosen(self) -> tuple[str, ...]:
        """The chosen values of a `many` field."""
        return tuple(part for part in self.value.split(",") if part)


def form_fields(
    schema: Mapping[str, Any],
    *,
    prefix: str = "options",
    posted: FormData | None = None,
    values: Mapping[str, Any] | None = None,
    problems: Iterable[tuple[str, str]] = (),
) -> list[FormField]:
    """The fields of a form, filled with what was posted, else with `values`, else with defaults."""
    errors = dict(problems)
    return [
        _field(schema, name, f"{prefix}.{name}", posted, values or {}, errors)
        for name in schema.get("properties", {})
    ]


def _field(
    schema: Mapping[str, Any],
    name: str,
    path: str,
    posted: FormData | None,
    values: Mapping[str, Any],
    errors: Mapping[str, str],
) -> FormField:
    part = resolved(schema, name)
    kind = kind_of(part)
    default = _written(part.get("default"), kind)
    value = _written(values[name], kind) if name in values else default
    if posted is not None:
        value = _posted_text(posted, path, kind)
    low, high = bounds_of(part)
    error = next((s for f, s in errors.items() if f == path or f.startswith(f"{path}.")), "")
    return FormField(
        name=path,
        label=part.get("label") or name.replace("_", " ").capitalize(),
        kind=kind,
        value=value,
        default=default,
        help=part.get("description", ""),
        minimum=low,
        maximum=high,
        choices=choices_of(part),
        required=name in schema.get("required", ()),
        error=error,
    )


def read_options(
    schema: Mapping[str, Any], posted: FormData, prefix: str = "options"
) -> tuple[dict[str, Any], Problems]:
    """Read posted text as options: those that differ from the defaults, and what was refused."""
    options: dict[str, Any] = {}
    problems: Problems = []
    for name in schema.get("properties", {}):
        part = resolved(schema, name)
        path = f"{prefix}.{name}"
        text = _posted_text(posted, path, kind_of(part)).strip()
        has_default = "default" in part and not is_optional(part)
        if not text and has_default and kind_of(part) not in ("many", "flag"):
            continue
        try:
            value = _parsed(text, part)
        except ValueError:
            problems.append((path, sentence(name, text, part)))
            continue
        if "default" not in part or value != part["default"]:
            options[name] = value
    return options, problems + check_options(schema, options, prefix)


def _written(value: Any, kind: FieldKind) -> str:
    if value is None:
        return ""
    if kind == "flag":
        return "on" if value else ""
    if kind in ("many", "list") and isinstance(value, list | tuple):
        return ("," if kind == "many" else ", ").join(map(str, value))
    if kind == "json":
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _posted_text(posted: FormData, path: str, kind: FieldKind) -> str:
    texts = [text for text in posted.getlist(path) if isinstance(text, str)]
    return ",".join(texts) if kind == "many" else (texts[-1] if texts else "")


def _parsed(text: str, part: Mapping[str, Any]) -> Any:
    """Turn typed text into JSON; raise ValueError where it cannot be."""
    kind = kind_of(part)
    if kind == "flag":
        return text in ("on", "true", "1", "yes")
    if kind in ("many", "list"):
        return [
            _parsed(one.strip(), part.get("items", {})) for one in text.split(",") if one.strip()
        ]
    if not text:
        if is_optional(part):
            return None
        raise ValueError(text)
    if kind == "integer":
        return int(text)
    if kind == "number":
        return float(text.replace("−", "-"))
    if kind == "json":
        return json.loads(text)
    if kind == "choice":
        return next((one for one in part.get("enum", ()) if str(one) == text), text)
    return text

"""A method's options: JSON schema <-> form fields, and one sentence for each refused value.

Field names are dotted paths into the spec (`options.n_noises`), the same in forms, in the API's
`detail` and in a UserError. A form keeps what was typed, refused or not.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.datastructures import FormData

from worker.contract.base import unknown

FieldKind = Literal["integer", "number", "text", "choice", "flag", "many", "list", "json"]
Problems = list[tuple[str, str]]


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
    part = _resolved(schema, name)
    kind = _kind(part)
    default = _written(part.get("default"), kind)
    value = _written(values[name], kind) if name in values else default
    if posted is not None:
        value = _posted_text(posted, path, kind)
    low, high = _bounds(part)
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
        choices=_choices(part),
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
        part = _resolved(schema, name)
        path = f"{prefix}.{name}"
        text = _posted_text(posted, path, _kind(part)).strip()
        has_default = "default" in part and not _optional(part)
        if not text and has_default and _kind(part) not in ("many", "flag"):
            continue
        try:
            value = _parsed(text, part)
        except ValueError:
            problems.append((path, _sentence(name, text, part)))
            continue
        if "default" not in part or value != part["default"]:
            options[name] = value
    return options, problems + check_options(schema, options, prefix)


def check_options(
    schema: Mapping[str, Any], options: Mapping[str, Any], prefix: str = "options"
) -> Problems:
    """Check options against a method's schema; a sentence for each that it would refuse."""
    known = list(schema.get("properties", {}))
    problems: Problems = []
    for name, value in options.items():
        path = f"{prefix}.{name}"
        if name not in known:
            problems.append((path, unknown("option", name, known).message))
        elif not _fits(value, part := _resolved(schema, name)):
            problems.append((path, _sentence(name, value, part)))
    for name in schema.get("required", ()):
        if name not in options:
            expected = _expected(_resolved(schema, name))
            problems.append((f"{prefix}.{name}", f"{name} is missing; expected {expected}."))
    return problems


def _sentence(name: str, value: Any, part: Mapping[str, Any]) -> str:
    said = "empty" if value in ("", None) else json.dumps(value, ensure_ascii=False)
    said = said if len(said) <= 80 else said[:77] + "…"
    return f"{name} is {said}; expected {_expected(part)}."


def _resolved(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A property with its reference followed and its `null` alternative made a flag."""
    part = dict(schema["properties"][name])
    alternatives = [p for p in part.get("anyOf", ()) if p.get("type") != "null"]
    if "anyOf" in part:
        part["optional"] = len(alternatives) < len(part["anyOf"])
        if len(alternatives) == 1:
            part = {**alternatives[0], **{k: v for k, v in part.items() if k != "anyOf"}}
    if "allOf" in part and len(part["allOf"]) == 1:
        part = {**part["allOf"][0], **part}
    if (reference := part.get("$ref", "")).startswith("#/$defs/"):
        part = {**schema["$defs"][reference.removeprefix("#/$defs/")], **part}
    return part


def _kind(part: Mapping[str, Any]) -> FieldKind:
    if "const" in part or "enum" in part:
        return "choice"
    if part.get("type") == "array":
        return "many" if "enum" in part.get("items", {}) else "list"
    names: dict[str, FieldKind] = {
        "integer": "integer",
        "number": "number",
        "boolean": "flag",
        "string": "text",
    }
    return names.get(part.get("type", ""), "json")


def _optional(part: Mapping[str, Any]) -> bool:
    return bool(part.get("optional"))


def _choices(part: Mapping[str, Any]) -> tuple[str, ...]:
    listed = part.get("enum") or part.get("items", {}).get("enum") or ()
    return (str(part["const"]),) if "const" in part else tuple(map(str, listed))


def _bounds(part: Mapping[str, Any]) -> tuple[float | None, float | None]:
    low = part.get("minimum", part.get("exclusiveMinimum"))
    return low, part.get("maximum", part.get("exclusiveMaximum"))


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
    kind = _kind(part)
    if kind == "flag":
        return text in ("on", "true", "1", "yes")
    if kind in ("many", "list"):
        return [
            _parsed(one.strip(), part.get("items", {})) for one in text.split(",") if one.strip()
        ]
    if not text:
        if _optional(part):
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


def _fits(value: Any, part: Mapping[str, Any]) -> bool:
    if value is None:
        return _optional(part) or part.get("type") == "null"
    if "const" in part:
        return bool(value == part["const"])
    if "enum" in part:
        return value in part["enum"]
    kind = _kind(part)
    if kind in ("integer", "number"):
        return _is_number(value, kind) and _within(value, part)
    if kind in ("many", "list"):
        return _is_list(value, part)
    if kind == "flag":
        return isinstance(value, bool)
    if kind == "text":
        return isinstance(value, str) and _has_length(len(value), part, "Length")
    return True


def _is_number(value: Any, kind: FieldKind) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if kind == "integer":
        return float(value).is_integer() if abs(value) < 2**53 else isinstance(value, int)
    return abs(value) < float("inf")


def _within(value: float, part: Mapping[str, Any]) -> bool:
    infinity = float("inf")
    low, high = part.get("minimum", -infinity), part.get("maximum", infinity)
    above, below = part.get("exclusiveMinimum", -infinity), part.get("exclusiveMaximum", infinity)
    return bool(low <= value <= high and above < value < below)


def _is_list(value: Any, part: Mapping[str, Any]) -> bool:
    return (
        isinstance(value, list)
        and all(_fits(one, part.get("items", {})) for one in value)
        and _has_length(len(value), part, "Items")
    )


def _has_length(n: int, part: Mapping[str, Any], what: str) -> bool:
    return bool(part.get(f"min{what}", 0) <= n <= part.get(f"max{what}", float("inf")))


def _expected(part: Mapping[str, Any]) -> str:
    kind = _kind(part)
    words = {
        "integer": f"a whole number{_range(part)}",
        "number": f"a number{_range(part)}",
        "text": f"text{_length(part)}",
        "flag": "true or false",
        "choice": f"one of {', '.join(_choices(part))}",
        "many": f"some of {', '.join(_choices(part))}",
        "list": f"a list, each {_expected(part['items'])}"
        if part.get("items")
        else "a list",
        "json": "JSON of the documented form",
    }[kind]
    return f"{words}, or nothing" if _optional(part) else words


def _length(part: Mapping[str, Any]) -> str:
    low, high = part.get("minLength"), part.get("maxLength")
    words = [f" of at least {low}"] if low else []
    words += [f" of at most {high}"] if high is not None else []
    return f"{' and'.join(words)} characters" if words else ""


def _range(part: Mapping[str, Any]) -> str:
    low, high = part.get("minimum"), part.get("maximum")
    above, below = part.get("exclusiveMinimum"), part.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    words = [
        f" {word} {bound}"
        for word, bound in (
            ("of at least", low),
            ("above", above),
            ("of at most", high),
            ("below", below),
        )
        if bound is not None
    ]
    return " and".join(words)

"""JSON schemas of options: what kind each is, whether a value fits, the sentence when it does not.

Pydantic made the schemas; here they are only read, so that the web server needs no method's code.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal

from worker.contract.base import unknown

FieldKind = Literal["integer", "number", "text", "choice", "flag", "many", "list", "json"]
Problems = list[tuple[str, str]]
"""Dotted field and sentence."""


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
        elif not _fits(value, part := resolved(schema, name)):
            problems.append((path, sentence(name, value, part)))
    for name in schema.get("required", ()):
        if name not in options:
            expected = _expected(resolved(schema, name))
            problems.append((f"{prefix}.{name}", f"{name} is missing; expected {expected}."))
    return problems


def sentence(name: str, value: Any, part: Mapping[str, Any]) -> str:
    """Say that an option's value is refused, and what was expected."""
    said = "empty" if value in ("", None) else json.dumps(value, ensure_ascii=False)
    said = said if len(said) <= 80 else said[:77] + "…"
    return f"{name} is {said}; expected {_expected(part)}."


def resolved(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
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


def kind_of(part: Mapping[str, Any]) -> FieldKind:
    """Which kind of input a property wants."""
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


def is_optional(part: Mapping[str, Any]) -> bool:
    """Whether a property may be null."""
    return bool(part.get("optional"))


def choices_of(part: Mapping[str, Any]) -> tuple[str, ...]:
    """The values that a property is restricted to, as text."""
    listed = part.get("enum") or part.get("items", {}).get("enum") or ()
    return (str(part["const"]),) if "const" in part else tuple(map(str, listed))


def bounds_of(part: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """A number's lower and upper bound, where it has them."""
    low = part.get("minimum", part.get("exclusiveMinimum"))
    return low, part.get("maximum", part.get("exclusiveMaximum"))


def _fits(value: Any, part: Mapping[str, Any]) -> bool:
    if value is None:
        return is_optional(part) or part.get("type") == "null"
    if "const" in part:
        return bool(value == part["const"])
    if "enum" in part:
        return value in part["enum"]
    kind = kind_of(part)
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
    kind = kind_of(part)
    words = {
        "integer": f"a whole number{_range(part)}",
        "number": f"a number{_range(part)}",
        "text": f"text{_length(part)}",
        "flag": "true or false",
        "choice": f"one of {', '.join(choices_of(part))}",
        "many": f"some of {', '.join(choices_of(part))}",
        "list": f"a list, each {_expected(part['items'])}" if part.get("items") else "a list",
        "json": "JSON of the documented form",
    }[kind]
    return f"{words}, or nothing" if is_optional(part) else words


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

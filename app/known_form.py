"""What counts as known, as forms and addresses say it: among what, from which bounds, how asked."""

from collections.abc import Callable
from typing import Any

from worker.contract.base import parse
from worker.contract.errors import UserError
from worker.contract.known import Known

AMONG = {
    "vocabulary": "by probability among all tokens",
    "answers": "by share among the set's answers",
}
SHOTS = {
    "none": "alone, as written",
    "one": "after another fact of their relation",
    "best": "as the model answers best",
}
Read = Callable[[str, str], str]
"""From a field's name and its default to what was typed."""


def read_known(read: Read, prefix: str = "") -> Known:
    """Read the bounds from the fields `among`, `probability` and `rank`; UserError beside them."""
    return parse(
        Known,
        {
            "among": read(f"{prefix}among", "vocabulary").strip() or "vocabulary",
            "probability": _number(read, f"{prefix}probability", 0.5),
            "rank": _number(read, f"{prefix}rank", 0),
        },
        prefix.rstrip("."),
    )


def read_choice(read: Read) -> dict[str, Any]:
    """Read what a spec's facts say of knowledge; empty where the form leaves it as it is."""
    found: dict[str, Any] = {}
    shot = read("facts.shot", "none").strip() or "none"
    if shot not in SHOTS:
        raise UserError(
            f"{shot[:40]!r} is no way to ask; expected {', '.join(SHOTS)}.", field="facts.shot"
        )
    if shot != "none":
        found["shot"] = shot
    if read("facts.known.among", "").strip():
        found["known"] = read_known(read, "facts.known.").model_dump(mode="json")
    return found


def typed_choice(facts: dict[str, Any]) -> dict[str, str]:
    """A spec's facts as the form's fields."""
    values = {"facts.shot": str(facts.get("shot", "none"))}
    for name, value in (facts.get("known") or {}).items():
        values[f"facts.known.{name}"] = f"{value:g}" if isinstance(value, float) else str(value)
    return values


def _number(read: Read, field: str, default: float) -> float:
    text = read(field, "").strip().replace(",", ".") or f"{default:g}"
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        name = field.rpartition(".")[2]
        raise UserError(f"{name} is {text[:40]!r}; expected a number.", field=field) from None

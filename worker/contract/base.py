"""The base of everything that crosses a border: frozen, and a misspelt key is named."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.contract.errors import UserError

M = TypeVar("M", bound=BaseModel)
Name = TypeVar("Name", bound=str)


class Contract(BaseModel):
    """A frozen pydantic model that forbids extra keys, and numbers that are none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Options(Contract):
    """The options of one method: defaults, bounds and units in the fields' descriptions.

    Forms, CLI help and documentation are made from this model's JSON schema, so each default
    is written once, here, with its unit and source in the field's description.
    """


def parse(model: type[M], data: Any, where: str = "") -> M:
    """Validate `data` as `model`; raise one UserError whose fields each carry one sentence."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UserError(problems=[_sentence(e, model, where) for e in error.errors()]) from None


def _sentence(error: Any, model: type[BaseModel], where: str) -> tuple[str, str]:
    location = ".".join(str(part) for part in error["loc"])
    field = ".".join(part for part in (where, location) if part)
    value = repr(error.get("input"))
    value = value if len(value) <= 80 else value[:77] + "..."
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        return field, unknown("field", name, sorted(model.model_fields)).message
    if error["type"] == "missing":
        return field, f"{field} is missing; expected a value. Add it."
    return field, f"{field} is {value}: {error['msg'][0].lower()}{error['msg'][1:]}."


def one_of(what: str, given: str, known: Sequence[Name], field: str = "") -> Name:
    """The one of `known` that was given as text; UserError with the nearest and the list."""
    for name in known:
        if name == given:
            return name
    raise unknown(what, given[:50], list(known), field)


def unknown(what: str, name: str, known: list[str], field: str = "") -> UserError:
    """Say that `name` is not among `known`, with the nearest name and the list."""
    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "") if known else "none"
    return UserError(f"No {what} {name!r}.{hint} There are: {listed}.", field=field)

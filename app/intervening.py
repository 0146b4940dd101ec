"""Interventions as an address writes them, for example `zero.mlp.3@23;-scale.neuron.6.95*2`.

Each is KIND.SITE.LAYER, the head or neuron after another point, then `@` the token (none: all),
`*` the factor and `>` the word of a direction; one that is switched off begins with `-`.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from worker.contract.base import parse
from worker.contract.errors import UserError
from worker.contract.interventions import MOST, Intervention

FORM = re.compile(
    r"(?P<off>-?)(?P<kind>[a-z]+)\.(?P<site>[a-z]+)\.(?P<layer>\d{1,4})(\.(?P<unit>\d{1,6}))?"
    r"(@(?P<token>\d{1,6}))?(\*(?P<factor>-?[\d.e+-]{1,12}))?(>(?P<toward>[^;]{1,600}))?"
)


@dataclass(frozen=True)
class Switch:
    """One intervention of the list, switched on or off."""

    made: Intervention
    is_on: bool = True

    @property
    def text(self) -> str:
        """As an address writes it."""
        one = self.made
        unit = one.head if one.site == "head" else one.neuron
        parts = ["" if self.is_on else "-", f"{one.kind}.{one.site}.{one.layer}"]
        parts += [f".{unit}"] if unit is not None else []
        parts += [f"@{one.token}"] if one.token is not None else []
        parts += [f"*{one.factor:g}"] if one.kind in ("scale", "direction") else []
        parts += [f">{quote(one.toward, safe=' ')}"] if one.toward else []
        return "".join(parts)


def read_switches(text: str, field: str = "on") -> tuple[Switch, ...]:
    """Read a list; UserError for what is none, and for more than can be on."""
    found = tuple(_read(one, field) for one in text.split(";") if one.strip())
    if len(found) > MOST:
        raise UserError(
            f"There are {len(found)} interventions; expected {MOST} at most.", field=field
        )
    return found


def write(switches: tuple[Switch, ...]) -> str:
    """The list as an address writes it."""
    return ";".join(one.text for one in switches)


def active(switches: tuple[Switch, ...]) -> list[dict[str, object]]:
    """Those that are on, as a spec names them."""
    return [
        one.made.model_dump(mode="json", exclude_defaults=True) for one in switches if one.is_on
    ]


def _read(text: str, field: str) -> Switch:
    if (found := FORM.fullmatch(text.strip())) is None:
        raise UserError(
            f"{text[:60]!r} is no intervention; expected kind, site and layer with points between "
            f"them, such as zero.mlp.3, zero.head.5.1@7 or scale.neuron.6.95*2.",
            field=field,
        )
    unit = found["unit"]
    unit_of = "head" if found["site"] == "head" else "neuron"
    given = {
        "kind": found["kind"],
        "site": found["site"],
        "layer": found["layer"],
        unit_of: unit,
        "token": found["token"],
        "factor": found["factor"],
        "toward": unquote(found["toward"] or ""),
    }
    try:
        made = parse(Intervention, {k: v for k, v in given.items() if v})
    except UserError as error:
        sentences = " ".join(sentence for _, sentence in error.problems)
        raise UserError(f"{text[:60]!r} is no intervention: {sentences}", field=field) from None
    return Switch(made, not found["off"])

"""The list of interventions: each on or off, what takes it out, what a run is told of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from app.intervening import Switch, active, read_switches, write
from app.pages.explore._leaving import fact_asked
from app.pages.explore._subject import Subject
from worker.store.store import Store

KINDS = (
    ("zero", "set to zero"),
    ("mean", "set to its mean"),
    ("resample", "resampled"),
    ("patch", "patched from the corrupted prompt"),
    ("scale", "times the factor"),
    ("direction", "moved toward a word"),
)
SITES = (
    ("mlp", "MLP"),
    ("attn", "attention"),
    ("head", "head"),
    ("neuron", "neuron"),
    ("resid", "residual stream"),
)
FACTS = 32
"""Facts of the set that the form of a run begins with."""


@dataclass(frozen=True)
class Line:
    """One of the list; `toggled` and `removed` change the address."""

    words: str
    is_on: bool
    toggled: str
    removed: str


def switched(store: Store, subject: Subject, asked: Mapping[str, str]) -> dict[str, Any]:
    """What the list's template shows."""
    switches = read_switches(subject.on)
    going = tuple(one for one in switches if one.is_on and _goes(one))
    return {
        "lines": [_line(switches, place) for place in range(len(switches))],
        "kinds": KINDS,
        "places": SITES,
        "run": _run(store, subject, asked, going) if going else "",
        "n_stay": len(active(switches)) - len(going),
    }


def _line(switches: tuple[Switch, ...], place: int) -> Line:
    one = switches[place]
    before, after = switches[:place], switches[place + 1 :]
    return Line(
        words=one.made.words,
        is_on=one.is_on,
        toggled=_address((*before, replace(one, is_on=not one.is_on), *after)),
        removed=_address((*before, *after)),
    )


def _address(switches: tuple[Switch, ...]) -> str:
    return urlencode({"on": write(switches)})


def with_one(subject: Subject, text: str) -> str:
    """What switches one more on, in the address."""
    return urlencode({"on": ";".join(filter(None, (subject.on, text)))})


def _goes(one: Switch) -> bool:
    """Whether it means something on other prompts: no token of this one, no second prompt."""
    return one.made.token is None and one.made.kind != "patch"


def _run(
    store: Store, subject: Subject, asked: Mapping[str, str], going: tuple[Switch, ...]
) -> str:
    """The form that evaluates under what is on: on the prompt's set, else on the first."""
    set_name, _ = fact_asked(store, subject, asked.get("set", ""))
    set_name = set_name or asked.get("set", "") or next((s.name for s in store.fact_sets()), "")
    form = {
        "model": subject.model,
        "facts.set": set_name,
        "facts.how": "first",
        "facts.n": str(FACTS),
        "interventions": write(going),
    }
    return f"/probes?{urlencode(form)}"

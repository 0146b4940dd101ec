"""What the templates of the circuit and of its open edge are given."""

from collections.abc import Mapping
from typing import Any

from app.drawing.ask import choose
from app.experiment import read_model
from app.pages.explore._canvas import OWN, read_edge, words_of
from app.pages.explore._circuit import (
    N_FACTS,
    Pairs,
    circuits,
    edges_between,
    measured,
    pairs_of,
    set_choices,
    shown,
    words_of_nodes,
)
from app.pages.explore._contexts import sides_of
from app.pages.explore._curve import curve
from app.pages.explore._patching import NO_PAIR
from app.pages.explore._subject import Asker, Subject
from worker.contract.result import Result

Asked = Mapping[str, str]
ON_CIRCUIT = ("over", "n_facts", *OWN)
"""Names in the address that the circuit depends on beside the subject."""


def circuit_choices(asker: Asker, asked: Asked) -> dict[str, Any]:
    """What the choosers offer, before anything is computed."""
    return {
        "overs": set_choices(asker.engine.store),
        "over": asked.get("over", ""),
        "n_facts": [(n, f"the first {n} with a pair") for n in sorted(N_FACTS, key=int)],
        "chosen_n": choose(asked, "n_facts", N_FACTS),
        "missing": "",
        "found": None,
    }


def show_circuit(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The canvas of the circuit, or what it waits for."""
    known = circuit_choices(asker, asked)
    if not (subject.has_pair or known["over"]):
        return known | {"missing": NO_PAIR}
    pairs = pairs_of(asker, subject, asked)
    results = circuits(asker, subject, asked)
    found = shown(asker, pairs, results, sides_of(subject), asked)
    model = read_model(subject.model, asker.engine.store)
    return known | {
        "found": found,
        "curve": curve(found.shares, sides_of(subject), found.size, found.n_edges),
        "notes": _notes(pairs, results),
        "chosen_words": words_of_nodes(found.canvas.nodes),
        "saved": asker.engine.store.circuits(),
        "problem": "",
        "files_of": _files(subject, asked),
        "is_pinned": set(found.canvas.nodes) <= set(found.canvas.pinned),
        "base": model if isinstance(model, str) else model["base"],
    }


def _files(subject: Subject, asked: Asked) -> list[tuple[str, str]]:
    """The address of each model's drawn circuit, with the model's name."""
    own = {name: value for name in ON_CIRCUIT if (value := asked.get(name))}
    sides = (("", subject.model), ("beside", subject.beside))
    return [(subject.query(**own, side=side), name) for side, name in sides if name]


def _notes(pairs: Pairs, results: list[Result]) -> list[str]:
    told = [sentence for one in results for sentence in one.view["problems"]]
    return list(dict.fromkeys(filter(None, (pairs.note, *told))))


def show_edge(asker: Asker, subject: Subject, asked: Asked) -> dict[str, Any]:
    """The open edge: its estimate beside its exact effect."""
    edge = read_edge(asked.get("edge", ""))
    if edge is None or not (subject.has_pair or asked.get("over")):
        return {"edge": None}
    pairs, found = edges_between(asker, subject, asked, edge)
    is_difference = found[0].view["metric"] == "logit_diff"
    return {
        "edge": edge,
        "words": [f"{(w := words_of(end))[0].upper()}{w[1:]}" for end in edge],
        "sides": [measured(one) for one in found],
        "unit": "logit difference" if is_difference else "logit",
        "n_pairs": 1 + len(pairs.further),
    }

"""The circuit of the page's pair, or of facts of a set: asked, and what its canvas shows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.drawing.ask import choose
from app.pages.explore._canvas import Canvas, Group, read_canvas, words_of
from app.pages.explore._drawn import Drawn, Scored, draw, kept_nodes, scored_edges
from app.pages.explore._pairing import proposed, taken
from app.pages.explore._patching import need_pair
from app.pages.explore._subject import Asker, Subject, ask
from worker.contract.errors import NotFound, UserError
from worker.contract.result import Result
from worker.store.store import Store

Asked = Mapping[str, str]
N_SIZES = 12
"""Circuits that are run at first; one of another size when the slider rests on it."""
ALL = 5000
"""Edges that are listed: all of a model of 48 layers."""
STOPS = 60
"""Sizes on which the slider can rest."""
N_FACTS = ("4", "2", "8", "16")
TRIES = 3
"""Facts that are looked at for each that is wanted: not each has a second prompt."""
ENOUGH = 0.8
"""Faithfulness of the circuit that is drawn first,"""
READABLE = 100
"""which has no more edges than can be told apart."""
PATIENCE = 300.0
"""Seconds: the pairs of many facts, on a model of some layers, on a machine that is busy."""


@dataclass(frozen=True)
class Pairs:
    """The subject of a circuit: its first pair, further ones, and what is to be said of them."""

    subject: Subject
    further: tuple[tuple[str, str], ...] = ()
    note: str = ""

    def options(self) -> dict[str, Any]:
        """The options that are the pairs' own."""
        return {"pairs": self.further} if self.further else {}


def pairs_of(asker: Asker, subject: Subject, asked: Asked) -> Pairs:
    """The page's own pair, or pairs of the facts of the set that the address names."""
    for found in finding_pairs(asker, subject, asked):
        last = found
    return last


def finding_pairs(asker: Asker, subject: Subject, asked: Asked) -> Iterator[Pairs]:
    """Pairs as they are found, of one fact after another; raises UserError where there is none."""
    name = asked.get("over", "")
    if not name:
        need_pair(subject)
        yield Pairs(subject)
        return
    n = int(choose(asked, "n_facts", N_FACTS))
    facts = asker.engine.store.fact_set(name).facts[: TRIES * n]
    found: list[Subject] = []
    alone = replace(asker, reader="")
    for looked, fact in enumerate(facts, 1):
        with suppress(UserError):  # this fact has no second prompt; another has
            found.append(proposed(alone, taken(Subject(model=subject.model), fact), name))
            first = replace(found[0], beside=subject.beside, on=subject.on)
            further = tuple((one.prompt, one.corrupted) for one in found[1:])
            yield Pairs(first, further, _note(name, len(found), looked))
        if len(found) == n:
            return
    if not found:
        raise UserError(
            f"None of the first {len(facts)} facts of {name!r} has a second prompt of as many "
            f"tokens with another answer; expected a set with subjects of one length.",
            field="over",
        )


def _note(name: str, n: int, looked: int) -> str:
    if n == 1:
        return f"The pair of one fact of {name!r}."
    return (
        f"Averages over the pairs of {n} facts of {name!r}, the first {looked} looked at; each "
        f"pair's own answers are those that the model gives."
    )


def circuits(asker: Asker, subject: Subject, asked: Asked) -> list[Result]:
    """Ask the circuit, whole."""
    pairs = pairs_of(asker, subject, asked)
    return _ask(asker, pairs, base_options(pairs))


def _ask(asker: Asker, pairs: Pairs, options: Mapping[str, Any]) -> list[Result]:
    patient = replace(asker, patience=max(asker.patience, PATIENCE))
    return ask(patient, pairs.subject, "circuit", **options)


def base_options(pairs: Pairs) -> dict[str, Any]:
    """The options with which the whole circuit is asked."""
    return {"n_sizes": N_SIZES, "top": ALL, **pairs.options()}


def score_one(asker: Asker, pairs: Pairs, place: int) -> None:
    """Score one pair's edges in a question of its own; the worker keeps them for the whole.

    So no question takes longer than a worker gives one, and others get their turn between.
    """
    one = pairs.subject
    if place:
        clean, corrupted = pairs.further[place - 1]
        one = Subject(model=one.model, prompt=clean, corrupted=corrupted, on=one.on)
    alone = replace(asker, reader="", patience=PATIENCE)
    ask(alone, replace(one, beside=""), "circuit", sizes=[0], top=1)


@dataclass(frozen=True)
class Share:
    """How much of the difference a circuit of a size brings; spreads over pairs."""

    n_edges: int
    faithfulness: float
    completeness: float
    faithfulness_spread: float
    completeness_spread: float


@dataclass(frozen=True)
class Tool:
    """A group in the list, with what its buttons do to the address."""

    group: Group
    turned: str
    removed: str


@dataclass(frozen=True)
class Shown:
    """All that the template shows of a known circuit."""

    canvas: Canvas
    size: int
    n_edges: int
    stops: tuple[int, ...]
    shares: tuple[tuple[Share, ...], ...]
    """Of each model, by size."""
    here: tuple[Share, ...]
    """Of each model, at the drawn size."""
    drawn: tuple[Drawn, ...]
    components: tuple[str, ...]
    edges: tuple[tuple[Scored, ...], ...]
    """Of each model, the circuit's largest edges, those of the chosen nodes where some are."""
    all_edges: tuple[list[Scored], ...]
    """Of each model, every edge."""
    unit: str
    n_pairs: int
    tools: tuple[Tool, ...]


LISTED = 12


def shown(
    asker: Asker, pairs: Pairs, found: Sequence[Result], titles: Sequence[str], asked: Asked
) -> Shown:
    """Lay out the circuit at the address' size, with its exact shares."""
    canvas = read_canvas(asked)
    shares = [_shares(one) for one in found]
    n_edges = shares[0][-1].n_edges
    size = min(canvas.size, n_edges) or _enough(shares[0])
    if not any(one.n_edges == size for one in shares[0]):
        options = {"sizes": [size], "top": 1, **pairs.options()}
        more = _ask(asker, pairs, options)
        shares = [sorted([*a, *_shares(b)], key=_size) for a, b in zip(shares, more, strict=True)]
    edges = [scored_edges(one.view["edges"]) for one in found]
    unit = "logit difference" if found[0].view["metric"] == "logit_diff" else "logit"
    n_layers = sum(node["kind"] == "mlp" for node in found[0].view["nodes"])
    laid = list(zip(titles, edges, strict=False))
    if len(found) == 2:
        laid.insert(1, ("difference", difference(*edges)))
    chosen = set(canvas.nodes)
    return Shown(
        canvas=canvas,
        size=size,
        n_edges=n_edges,
        stops=_stops(n_edges, {one.n_edges for one in shares[0]}),
        shares=tuple(map(tuple, shares)),
        here=tuple(next(s for s in own if s.n_edges == size) for own in shares),
        drawn=tuple(draw(t, e, n_layers, canvas, size, unit) for t, e in laid),
        components=tuple(f"blocks.{node}" for node in kept_nodes(edges[0], canvas, size)),
        edges=tuple(
            tuple(e for e in own[:size] if not chosen or chosen & {e.sender, e.reader})[:LISTED]
            for own in edges
        ),
        all_edges=tuple(edges),
        unit=unit,
        n_pairs=1 + len(pairs.further),
        tools=tuple(
            Tool(one, canvas.turned(place), canvas.without_group(place))
            for place, one in enumerate(canvas.groups)
        ),
    )


def difference(first: Sequence[Scored], second: Sequence[Scored]) -> list[Scored]:
    """Every edge's change from one model to another, the largest first."""
    before = {e.name: e.score for e in first}
    after = {e.name: e for e in second}
    changed = [
        Scored(e.sender, e.reader, after[e.name].score - before[e.name])
        for e in first
        if e.name in after
    ]
    return sorted(changed, key=lambda e: -abs(e.score))


def _shares(result: Result) -> list[Share]:
    return [Share(**one) for one in result.view["pruned"]]


def _size(share: Share) -> int:
    return share.n_edges


def _enough(shares: Sequence[Share]) -> int:
    """The smallest size that was run and brings most of the difference, or the largest to read."""
    enough = (s.n_edges for s in shares if s.faithfulness >= ENOUGH)
    readable = [s.n_edges for s in shares if s.n_edges <= READABLE]
    return min(next(enough, shares[-1].n_edges), max(readable, default=shares[-1].n_edges))


def _stops(n_edges: int, known: set[int]) -> tuple[int, ...]:
    found = {int(one) for one in np.geomspace(1, n_edges, STOPS).round()}
    return tuple(sorted(found | known))


def edges_between(
    asker: Asker, subject: Subject, asked: Asked, edge: tuple[str, str]
) -> tuple[Pairs, list[Result]]:
    """Ask one edge's exact effect; its scores come with it."""
    pairs = pairs_of(asker, subject, asked)
    options = {"edge": list(edge), "sizes": [0], "top": ALL, **pairs.options()}
    return pairs, _ask(asker, pairs, options)


@dataclass(frozen=True)
class Measured:
    """One edge in one model."""

    estimate: float
    spread: float
    exact: float


def measured(result: Result) -> Measured:
    """An edge's estimate beside its exact effect; NotFound where the answer is of no edge."""
    told = result.view["edge"]
    if told is None:
        raise NotFound("No edge is open; click one of the circuit.", field="edge")
    spread = next(
        (e["spread"] for e in result.view["edges"] if (e["from"], e["to"]) == _ends(told)), 0.0
    )
    return Measured(told["estimate"], spread, told["exact"])


def _ends(told: Mapping[str, Any]) -> tuple[str, str]:
    return told["from"], told["to"]


def words_of_nodes(nodes: Sequence[str]) -> str:
    """Chosen nodes as a reader says them."""
    return ", ".join(map(words_of, nodes))


def set_choices(store: Store) -> list[tuple[str, str]]:
    """What a circuit can be of."""
    sets = [(one.name, f"facts of {one.title or one.name}") for one in store.fact_sets()]
    return [("", "this pair"), *sets]

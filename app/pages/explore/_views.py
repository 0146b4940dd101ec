"""The page's views in their order: what each depends on, and the figure of the same numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from app.drawing.drawing import Offer, Source
from app.pages.explore._circuit import circuits
from app.pages.explore._circuit_contexts import ON_CIRCUIT, show_circuit, show_edge
from app.pages.explore._contexts import (
    Asked,
    continued,
    heads_by,
    lenses,
    maps,
    one_head,
    parts,
    patches,
    predicted,
    show_cell,
    show_continuation,
    show_decomposition,
    show_head,
    show_heads,
    show_leaving,
    show_lens,
    show_neurons,
    show_patch,
    show_patching,
    show_predictions,
    show_switched,
    some_neurons,
)
from app.pages.explore._subject import NAMES, Asker, Subject
from worker.contract.base import unknown
from worker.contract.errors import NotFound
from worker.contract.result import Result


@dataclass(frozen=True)
class View:
    """One view; it is loaded again when one of the address' parts that it needs changes."""

    name: str
    title: str
    make: Callable[[Asker, Subject, Asked], dict[str, Any]]
    own: tuple[str, ...] = ()
    figure: str = ""
    """The figure in `app/figures` that draws the same numbers, with its table and CSV."""
    source: Callable[[Asker, Subject, Asked], list[Result]] | None = None
    """The result that the figure draws."""
    needs_pair: bool = False
    """Whether its figure needs a corrupted prompt, or noise."""
    is_beside: bool = False
    """Whether it shows what is chosen in the view before, beside which there may be room."""

    is_last: bool = False
    """Whether it takes long and nobody looks at it first, so that others are asked before."""
    sooner: Callable[[Asker, Subject, Asked], dict[str, Any]] | None = None
    """What is shown before that which takes longer is known."""
    clears: str = ""
    """What is taken out of the address where the selection that it shows cannot be shown."""

    @property
    def needs(self) -> str:
        """Names in the address, with spaces between them."""
        return " ".join((*NAMES, *self.own))


VIEWS = (
    View("predictions", "What it says next", show_predictions, (), "top_tokens", predicted),
    View("continuation", "How it goes on", show_continuation, (), "", continued, is_last=True),
    View("switched", "What is switched on", show_switched, ("set",), clears="on="),
    View(
        "lens", "What each layer would say", show_lens, ("shade", "after", "which", "from"),
        "lens_grid", lenses,
    ),
    View(
        "cell", "The selected cell", show_cell, ("at", "which"),
        is_beside=True, clears="at=",
    ),
    View(
        "patching", "What a state carries", show_patching,
        ("map", "metric", "scale", "direction", "from"), "patching_map", maps,
        needs_pair=True,
    ),
    View(
        "patch", "Patched", show_patch, ("cells", "direction"), "", patches,
        is_beside=True, sooner=partial(show_patch, n_new=0), clears="cells=",
    ),
    View(
        "decomposition", "Where the logit comes from", show_decomposition, ("of", "which"),
        "decomposition_bars", parts,
    ),
    View("heads", "Heads", show_heads, ("by", "which"), "heads_grid", heads_by),
    View(
        "head", "The open head", show_head, ("head", "weigh", "which"), "head_pattern", one_head,
        is_beside=True, clears="head=&query=",
    ),
    View(
        "neurons", "Neurons", show_neurons, ("at", "which"), "neuron_bars", some_neurons,
        clears="at=",
    ),
    View(
        "circuit", "Circuit", show_circuit,
        ON_CIRCUIT, "circuit_edges", circuits, needs_pair=True,
    ),
    View(
        "edge", "The open edge", show_edge, ("over", "n_facts", "edge"),
        is_beside=True, clears="edge=",
    ),
    View("leave", "Take it with you", show_leaving, ("cells", "head", "at", "set")),
)  # fmt: skip
_BY_NAME = {view.name: view for view in VIEWS}


def find(name: str) -> View:
    """A view by its name; raises NotFound."""
    if name not in _BY_NAME:
        raise NotFound(unknown("view", name, list(_BY_NAME)).message, field="view")
    return _BY_NAME[name]


def way_back(name: str, asked: Asked) -> str:
    """What a button takes out of the address where a view's selection cannot be shown."""
    view = _BY_NAME.get(name)
    is_selected = view and any(asked.get(part.rstrip("=")) for part in view.clears.split("&"))
    return view.clears if view and is_selected else ""


def pictures(name: str, subject: Subject, asked: Asked) -> list[dict[str, Any]]:
    """What the template of a figure needs, for each of the subject's models."""
    view = _BY_NAME[name]
    if not view.figure or (view.needs_pair and not (subject.has_pair or asked.get("over"))):
        return []
    own = {part: value for part in view.own if (value := asked.get(part))}
    sides = ("", "beside") if subject.beside else ("",)
    return [
        {
            "id": f"figure-{name}{'-' if side else ''}{side}",
            "address": f"/explore/figures/{name}",
            "fixed": subject.query(**own, side=side),
            "offer": Offer(view.figure, view.title),
            "is_live": False,
        }
        for side in sides
    ]


def files(subject: Subject, asked: Asked) -> list[tuple[str, str, str]]:
    """Name, title and query of every view whose answer can be taken as it is asked."""
    return [
        (one.name, one.title, subject.query(**{k: v for k in one.own if (v := asked.get(k))}))
        for one in VIEWS
        if one.source is not None
        and (subject.has_pair or not one.needs_pair)
        and (not one.clears or way_back(one.name, asked))
    ]


def answer_of(name: str, asker: Asker, subject: Subject, asked: Asked) -> Result:
    """A view's answer as the worker gave it; `side=beside` is the model beside."""
    view = _BY_NAME.get(name)
    if view is None or view.source is None:
        known = [one.name for one in VIEWS if one.source is not None]
        raise NotFound(unknown("view with an answer", name, known).message, field="view")
    found = view.source(asker, subject, asked)
    return found[-1 if asked.get("side") == "beside" else 0]


def source_of(name: str, asker: Asker, subject: Subject, asked: Asked) -> tuple[str, Source]:
    """A view's figure and what it draws; `side=beside` is the model beside. Raises NotFound."""
    view = _BY_NAME.get(name)
    if view is None or not view.figure:
        known = [one.name for one in VIEWS if one.figure]
        raise NotFound(unknown("view with a figure", name, known).message, field="view")
    return view.figure, Source(answer_of(name, asker, subject, asked), _no_file)


def _no_file(name: str) -> BinaryIO:
    raise NotFound(f"An answer that was only looked at has no file {name!r}.")

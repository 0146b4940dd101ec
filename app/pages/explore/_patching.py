"""The patching map and what patched cells do together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.drawing.ask import choose
from app.drawing.cells import Panel, Panels, Shade, Values, over, panel, token_rows
from app.figures.patching_map import DIRECTIONS, METRICS, SCALES, SITES
from app.pages.explore._subject import Subject
from worker.contract.errors import UserError
from worker.contract.result import Result

NO_PAIR = (
    "Patching puts a state of one prompt into another: a corrupted prompt is missing. Type one, "
    "let one be proposed, or tick the noise."
)
NOT_NORMALIZED = (
    "The two prompts do not differ in this metric, so nothing can be normalized by their "
    "difference; raw values are shown."
)


@dataclass(frozen=True)
class Chosen:
    """Which map the address asks for."""

    site: str
    metric: str
    scale: str
    direction: str

    @property
    def source(self) -> str:
        """The prompt that states come from."""
        return "clean" if self.direction == "denoising" else "corrupted"

    @property
    def target(self) -> str:
        """The prompt that states are put into."""
        return "corrupted" if self.direction == "denoising" else "clean"

    def options(self) -> dict[str, Any]:
        """The view's own options."""
        return {"sites": [self.site], "metric": self.metric, "direction": self.direction}


def chosen_map(asked: Mapping[str, str]) -> Chosen:
    """Read the map's choices; UserError names those there are."""
    return Chosen(
        choose(asked, "map", list(SITES)),
        choose(asked, "metric", list(METRICS)),
        choose(asked, "scale", list(SCALES)),
        choose(asked, "direction", list(DIRECTIONS)),
    )


def need_pair(subject: Subject) -> None:
    """Raise UserError where there is nothing to patch from."""
    if not subject.has_pair:
        raise UserError(NO_PAIR, field="corrupted")


def map_panels(found: Sequence[Result], titles: Sequence[str], chosen: Chosen) -> Panels:
    """The maps of one model, or of two and their difference, on one range."""
    name = f"patch.{chosen.site}.{chosen.metric}"
    is_share = chosen.scale == "share" and all(f"{name}.share" in r.arrays for r in found)
    name = f"{name}.share" if is_share else name
    values = [_values(result, name, chosen) for result in found]
    bases = [0.0 if is_share else _unpatched(result, chosen) for result in found]
    effects = [v - base for v, base in zip(values, bases, strict=True)]
    shade = over(_words(chosen, is_share), effects, signed=True)
    made = [
        _panel(result, title, v, effect, shade, chosen)
        for result, title, v, effect in zip(found, titles, values, effects, strict=True)
    ]
    if len(made) == 2:
        change = values[1] - values[0]
        made.insert(
            1, _panel(found[0], "difference", change, effects[1] - effects[0], shade, chosen)
        )
    problems: tuple[str, ...] = ()
    if chosen.scale == "share" and not is_share:
        problems = (NOT_NORMALIZED,)
    return Panels(tuple(made), shade, problems, _told(found[0], chosen))


def partial_panels(
    predicted: Result, rows: Sequence[Mapping[str, Any]], chosen: Chosen, first: int, end: int
) -> Panels | None:
    """The map as far as it is computed; None before its first row. Values are raw."""
    if not rows:
        return None
    width = max(len(row["values"]) for row in rows)
    tokens = predicted.view["prompts"][0]["tokens"][first:end]
    heads = chosen.site == "head"
    height = 1 + max(int(row["layer"]) for row in rows) if heads else len(tokens)
    values = np.full((height, width), np.nan)
    for row in rows:
        place = int(row["layer"]) if heads else int(row["position"]) - first
        if 0 <= place < height:
            values[place, : len(row["values"])] = np.array(row["values"], float)
    known = values[np.isfinite(values)]
    effect = values - (float(np.median(known)) if known.size else 0.0)
    shade = over(f"{METRICS[chosen.metric]}, not final", [effect], signed=True)
    side = _rows(predicted, chosen, height, first, end)
    made = panel(
        "",
        side,
        _columns(width),
        values,
        _of(shade, effect),
        _at(first, heads),
        corner=_corner(heads),
    )
    return Panels((made,), shade)


def _values(result: Result, name: str, chosen: Chosen) -> Values:
    found = np.array(result.arrays[name].values, float)
    return found if chosen.site == "head" else found.T


def _unpatched(result: Result, chosen: Chosen) -> float:
    return float(result.view["metrics"][chosen.metric][chosen.target])


def _words(chosen: Chosen, is_share: bool) -> str:
    words = METRICS[chosen.metric]
    if is_share:
        return f"share of the difference in {words} that comes back"
    return f"change of the {words} from the unpatched run"


def _panel(
    result: Result, title: str, values: Values, effects: Values, shade: Shade, chosen: Chosen
) -> Panel:
    first = _first(result)
    heads = chosen.site == "head"
    return panel(
        title,
        _rows(result, chosen, values.shape[0], first, first + values.shape[0]),
        _columns(values.shape[1]),
        values,
        _of(shade, effects),
        _at(first, heads),
        corner=_corner(heads),
        is_narrow=bool(title),
    )


def _of(shade: Shade, effects: Values) -> Shade:
    """The shade of effects for cells that hold other numbers."""
    return Shade(shade.words, lambda _: shade.share(effects), True, shade.range)


def _rows(
    result: Result, chosen: Chosen, height: int, first: int, end: int
) -> list[tuple[int, str, bool]]:
    if chosen.site == "head":
        return [(i, "", False) for i in range(height)]
    return token_rows(result.view["prompts"][0]["tokens"][first:end], first)


def _columns(width: int) -> list[str]:
    return [str(i) for i in range(width)]


def _corner(heads: bool) -> str:
    return "layer" if heads else "token"


def _at(first: int, heads: bool) -> Any:
    return (lambda i, j: f"{i}.{j}") if heads else (lambda i, j: f"{j}.{first + i}")


def _first(result: Result) -> int:
    positions = result.view.get("positions")
    return int(positions[0]) if positions else 0


def _told(result: Result, chosen: Chosen) -> dict[str, Any]:
    told = result.view["metrics"][chosen.metric]
    return {
        "clean": told["clean"],
        "corrupted": told["corrupted"],
        "first": _first(result),
        "of": len(result.view["prompts"][0]["tokens"]),
    }


def read_cells(text: str) -> list[dict[str, Any]]:
    """The cells of an address (`resid.3.5`, `head.2.1`); UserError for what is none."""
    found = []
    for name in filter(None, text.split(",")):
        site, _, place = name.partition(".")
        layer, _, last = place.partition(".")
        if site not in SITES or not (layer.isdecimal() and last.isdecimal()) or len(name) > 30:
            raise UserError(
                f"{name[:40]!r} is no cell; expected a site, a layer and a token or head, such as "
                f"resid.3.5 or head.2.1.",
                field="cells",
            )
        one: dict[str, Any] = {"site": site, "layer": int(layer), "token": None, "head": None}
        found.append(one | {"head" if site == "head" else "token": int(last)})
    return found


def cell_words(cell: Mapping[str, Any], tokens: Sequence[Mapping[str, Any]]) -> str:
    """A cell as a reader says it."""
    if cell["site"] == "head":
        return f"head {cell['layer']}.{cell['head']}, all tokens"
    text = tokens[cell["token"]]["text"] if cell["token"] < len(tokens) else ""
    return f"{SITES[cell['site']]} of layer {cell['layer']} at token {cell['token']} “{text}”"


@dataclass(frozen=True)
class Effect:
    """What patching did to one metric."""

    words: str
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Patched:
    """One model unpatched and patched."""

    said: tuple[tuple[str, Mapping[str, Any]], ...]
    effects: list[Effect]
    target: tuple[int, ...]
    distractor: tuple[int, ...]


def patched(result: Result, chosen: Chosen) -> Patched:
    """What a model says without and with the patch."""
    view = result.view
    name = f"{chosen.target.capitalize()} prompt"
    return Patched(
        said=((name, view["unpatched"]), (f"{name}, patched", view["patched"])),
        effects=effects_of(result),
        target=_single(view.get("target")),
        distractor=_single(view.get("distractor")),
    )


def _single(answer: Mapping[str, Any] | None) -> tuple[int, ...]:
    """The id of an answer of one token."""
    return tuple(answer["ids"]) if answer and len(answer["ids"]) == 1 else ()


def effects_of(result: Result) -> list[Effect]:
    """The effects by metric, in the page's order."""
    told = result.view["effects"]
    return [Effect(words, told[name]) for name, words in METRICS.items() if name in told]

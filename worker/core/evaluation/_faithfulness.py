"""From patched facts to what is reported of a mask: curves, comparisons with chance, words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.contract.result import Axis, Comparison, Direction, Estimate, Evaluation
from worker.contract.units import metric_words
from worker.core.asking.before_after import State
from worker.core.findings import Array
from worker.core.patching.faithfulness import Curve, Patched, prefixes, random_like, sizes

MODES = {"only": "Only the mask is clean", "without": "All but the mask is clean"}
"""What is clean in each kind of run."""


@dataclass(frozen=True)
class Lines:
    """Curves of one mode: the ranking's with its interval over facts, and every draw's."""

    ranked: Curve
    low: tuple[float, ...]
    high: tuple[float, ...]
    draws: tuple[Curve, ...]


def lines_of(patched: Patched, ranked: list[str], without: bool, draws: int, seed: int) -> Lines:
    """Measure the ranking's prefixes and, in their places, random ones."""
    counts = prefixes(len(ranked))
    places = sizes(patched.model, ranked, counts)

    def measure(order: Sequence[str]) -> list[np.ndarray]:
        return [patched.values(order[:k], without) for k in counts]

    def curve(values: list[np.ndarray]) -> Curve:
        return Curve(places, tuple(patched.faithfulness(one) for one in values))

    own = measure(ranked)
    bounds = [patched.interval(one, seed) for one in own]
    return Lines(
        curve(own),
        tuple(low for low, _ in bounds),
        tuple(high for _, high in bounds),
        tuple(
            curve(measure(random_like(patched.model, ranked, seed + draw))) for draw in range(draws)
        ),
    )


def compare_mask(
    patched: Patched, mask: list[str], draws: int, state: State, seed: int
) -> list[Comparison]:
    """Measure the mask, and random components of the same kinds and number."""
    n, model = int(patched.used.sum()), patched.model
    members = set(mask)
    ranked = sorted(
        patched.names, key=lambda k: not (k in members or k.split(".head.")[0] in members)
    )
    size = sum(k in members or k.split(".head.")[0] in members for k in patched.names)
    found = []
    for mode in MODES:
        without = mode == "without"
        values = patched.values(mask, without)
        low, high = patched.interval(values, seed)
        mean = patched.faithfulness(values)
        others = [
            patched.faithfulness(
                patched.values(random_like(model, ranked, seed + d)[:size], without)
            )
            for d in range(draws)
        ]
        better: Direction = "lower" if without else "higher"
        found += [
            _compare(f"mask.{mode}", f"{MODES[mode]}: faithfulness", better, state,
                     _estimate(mean, low, high, n)),
            _compare(f"random.{mode}", f"{MODES[mode]}: random ones of the same size", "none",
                     state, _spread(others)),
        ]  # fmt: skip
    return found


def compare_areas(lines: Lines, state: State, n: int) -> list[Comparison]:
    """Compare CPR and CMD with those of random rankings."""
    found = []
    kinds: tuple[tuple[str, str, Direction], ...] = (
        ("cpr", "CPR: area under the curve", "higher"),
        ("cmd", "CMD: area between the curve and 1", "lower"),
    )
    for name, words, better in kinds:
        own = getattr(lines.ranked, name)
        bounds = [getattr(Curve(lines.ranked.sizes, b), name) for b in (lines.low, lines.high)]
        others = [getattr(curve, name) for curve in lines.draws]
        found += [
            _compare(name, words, better, state, _estimate(own, min(bounds), max(bounds), n)),
            _compare(f"random.{name}", f"{words}, random rankings", "none", state, _spread(others)),
        ]
    return found


def _compare(name: str, title: str, better: Direction, state: State, found: Estimate) -> Comparison:
    both = {"before": found} if state == "before" else {"after": found}
    return Comparison(name=f"faithfulness.{name}", title=title, better=better, **both)


def _estimate(mean: float, low: float, high: float, n: int) -> Estimate:
    return Estimate(mean=mean, low=min(low, mean), high=max(high, mean), n=n)


def _spread(values: list[float]) -> Estimate:
    """The mean of draws, between the lowest and the highest."""
    return Estimate(mean=float(np.mean(values)), low=min(values), high=max(values), n=len(values))


def array_of(lines: Lines, mode: str) -> Array:
    """Put a mode's lines into one array."""
    rows = [lines.ranked.values, lines.low, lines.high, *(curve.values for curve in lines.draws)]
    names = ("ranked", "low", "high", *(f"random {i}" for i in range(len(lines.draws))))
    places = tuple(f"{size:.6g}" for size in lines.ranked.sizes)
    axes = (Axis(name="line", labels=names), Axis(name="size", labels=places))
    return Array(np.array(rows), axes, "faithfulness", MODES[mode], signed=True)


def caption_of(
    found: Evaluation, state: State, n_components: int, has_scores: bool, metric: str
) -> str:
    """Say in words what was found."""
    values = {c.name.removeprefix("faithfulness."): getattr(c, state) for c in found.aggregates}
    only, chance = values["mask.only"], values["random.only"]
    rest, chance_rest = values["mask.without"], values["random.without"]
    order = "the localization's scores" if has_scores else "the mask first, else chance"
    return (
        f"The mask's {n_components} components alone bring back {only.mean:.0%} of the difference "
        f"in {metric_words(metric)} ({only.low:.0%} to {only.high:.0%} over {only.n} facts); "
        f"random ones of the same size {chance.mean:.0%} ({chance.low:.0%} to {chance.high:.0%} "
        f"in {chance.n} draws). Without them {rest.mean:.0%} is left, without random ones "
        f"{chance_rest.mean:.0%}. Ranked by {order}, CPR is {values['cpr'].mean:.2f}, against "
        f"{values['random.cpr'].mean:.2f} for random rankings."
    )

"""Where a probe's accuracy climbs: the rule by which lookup layers are chosen, and how sure it is.

The rule: an accuracy curve starts at the control's (a probe for shuffled answers) and ends at its
maximum; the difference is its rise. The climb begins with the first layer whose accuracy is more
than a tenth of the rise above the control and above the layer before it began with, and ends with
the first layer that has 95 % of the rise. The layers chosen are those from the earlier beginning to
the later end over the curves (full prompt and bare name). A long climb is narrowed: of all runs of
as many layers as are allowed, the one over which the curves together gain most, the earliest of
equals. Without that bound a slow climb would take in most of the model, and an edit of most of the
model is not localized.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

BEGIN, END = 0.10, 0.95


def climb(curve: Float[np.ndarray, " depth"], control: float) -> tuple[int, int] | None:
    """Find the first and last layer of the climb; None where the curve does not rise.

    `curve` begins with the embeddings, so entry i + 1 is after layer i.
    """
    rise = float(curve.max()) - control
    if rise <= 0.05:
        return None
    above = (curve - control) / rise
    last = int(np.argmax(above >= END))
    # What the embeddings already tell was not looked up by any layer.
    first = int(np.argmax(above > max(BEGIN, float(above[0]) + BEGIN)))
    if last == 0 or first == 0:
        return None
    return first - 1, max(first, last) - 1


def choose_layers(
    curves: Sequence[Float[np.ndarray, " depth"]], control: float, most: int
) -> tuple[int, ...]:
    """Choose the climb's layers over the curves; of more than `most`, where they gain most."""
    found = [span for span in (climb(curve, control) for curve in curves) if span is not None]
    if not found:
        return ()
    first, last = min(a for a, _ in found), max(b for _, b in found)
    if last - first + 1 > most:
        total = np.sum(curves, axis=0)
        gains = [total[start + most] - total[start] for start in range(first, last - most + 2)]
        first += int(np.argmax(np.round(gains, 9)))  # sums in another order are no gain
        last = first + most - 1
    return tuple(range(first, last + 1))


def bootstrap_choice(
    right: Sequence[Bool[np.ndarray, "depth fact"]],
    control: Bool[np.ndarray, "depth fact"],
    samples: int,
    seed: int,
    most: int,
) -> tuple[Float[np.ndarray, " layer"], float]:
    """Draw the facts anew and choose again; return each layer's share of choices.

    Also returns the share of draws whose choice is the one over all facts.
    """
    rng = np.random.default_rng(seed)
    n_layers, n_facts = right[0].shape[0] - 1, right[0].shape[1]
    chosen = choose_layers([r.mean(1) for r in right], float(control.mean()), most)
    share, same = np.zeros(n_layers), 0
    for _ in range(samples):
        drawn = rng.integers(0, n_facts, n_facts)
        curves = [r[:, drawn].mean(1) for r in right]
        again = choose_layers(curves, float(control[:, drawn].mean()), most)
        share[list(again)] += 1 / samples
        same += again == chosen
    return share, same / samples

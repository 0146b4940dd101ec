"""Work of every localization method, by formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from worker.core.ahead.scene import Scene
from worker.core.ahead.work import Work

Formula = Callable[[Scene, Any], Work]
KEPT, ASKED = 4, 4
"""Other facts that the base is asked for in a trial; prompts that an edited model is asked, which
are the fact's own, one or more in other words, and those others that the base knows."""
SOLVED = 8
"""Operations of solving against a matrix that take as long as one number that is touched."""


def causal_tracing(s: Scene, options: Any) -> Work:
    size = s.size
    wide = options.window or min(10, max(1, round(size.n_layers * 10 / 48)))
    starts = [
        layer if site == "resid" else max(0, layer - wide // 2)
        for site in options.sites
        for layer in range(size.n_layers)
    ]
    singles = 2 * size.n_layers + options.heads * size.n_layers * size.n_heads
    return s.ask(s.facts) + _patched(s, options.samples, starts, singles)


def activation_patching(s: Scene, options: Any) -> Work:
    size = s.size
    each = options.sites if options.places == "each" else ()
    starts = [
        layer
        for site in each
        for layer in range(size.n_layers)
        for _ in range(size.n_heads if site == "head" else 1)
    ]
    singles = 2 * size.n_layers + options.heads * size.n_layers * size.n_heads
    return s.ask(s.facts) + _patched(s, options.samples, starts, singles)


def attribution_patching(s: Scene, options: Any) -> Work:
    return s.ask(s.facts) + _whole(s, 3 * options.samples, options.batch_size)


def atp_star(s: Scene, options: Any) -> Work:
    # A gradient per cut layer, which passes what lies above the cut's own block twice.
    cuts = 2 * s.size.n_layers * options.grad_drop
    return s.ask(s.facts) + _whole(s, (4 + cuts) * options.samples, options.batch_size)


def eap(s: Scene, options: Any) -> Work:
    return _edges(s, options, 1)


def eap_ig(s: Scene, options: Any) -> Work:
    return _edges(s, options, options.steps)


def eap_ig_activations(s: Scene, options: Any) -> Work:
    # The input, and every attention and MLP from its own layer on.
    runs = 1 + 2 * (s.size.n_layers + 1) / 2
    return _edges(s, options, options.steps, runs)


def direct_logit_attribution(s: Scene, options: Any) -> Work:
    parts = s.size.n_layers * (s.size.n_heads + 2)
    heads = 2 * s.facts * s.length * s.size.n_layers * s.size.attention * s.size.d_model
    read = Work(4 * s.facts * parts * s.size.d_model)
    return s.ask(s.facts) + _whole(s, 1, options.batch_size) + read + Work(heads / s.length)


def logit_lens(s: Scene, options: Any) -> Work:
    read = s.size.unembed(s.facts * s.length * (s.size.n_layers + 1))
    return s.ask(s.facts) + _whole(s, 1, options.batch_size) + read


def path_patching(s: Scene, options: Any) -> Work:
    size = s.size
    n = len(options.senders) or size.n_layers * (size.n_heads + 2)
    base = s.ask(s.facts) + _whole(s, options.samples + 1, 4)
    return base + _paths(s, options.samples * n, bool(options.receivers))


def fact_lookup(s: Scene, options: Any) -> Work:
    size = s.size
    if options.by == "path_patching" or (options.by == "auto" and not s.is_probed):
        base = s.ask(s.facts) + _whole(s, 2, 4)
        return (
            base + _paths(s, size.n_layers * size.n_heads, False) + _paths(s, size.n_layers, True)
        )
    n = min(options.probe_facts, s.facts + s.retain)
    # The facts themselves, what the model knows of the others, their subjects, and bare names.
    asked = s.ask(s.facts) + s.ask(n)
    read = s.size.blocks(n * (s.before + 2 * s.name), s.before + s.name, size.n_layers, n / 64)
    # In each fold of every draw a matrix of the facts is solved against for all shuffled answers.
    depths, folds = size.n_layers + 1, options.folds
    multiplied = 2 * 2.0 * n * n * size.d_model * depths
    solved = (2 + options.draws) * folds * depths * (n**3 / 3)
    answered = folds * depths * 2.0 * n * n * s.kinds * (options.permutations + 1) * (1 + 1 / folds)
    return asked + read + Work(multiplied + answered, touched=solved / SOLVED)


def learned_mask(s: Scene, options: Any) -> Work:
    rows = min(options.batch_size, s.facts)
    width = s.padded(s.facts, options.batch_size)
    step = s.size.train(rows * width, width, rows, 0, 0.0)
    found: Work = s.ask(s.facts) + _whole(s, 4, options.batch_size) + options.steps * step
    return found


def trial_edits(s: Scene, options: Any) -> Work:
    size, windows = s.size, s.size.n_layers - options.window + 1
    # Forward through all blocks; back to the window, whose lowest block only its MLP is passed of.
    back = (size.n_layers + options.window) / 2 - 0.5
    own = Work(2 * s.length * options.window * 3.0 * size.mlp * size.d_model)
    step = (
        size.blocks(s.length, s.length, size.n_layers)
        + size.blocks(s.length, s.length, back)
        + 2 * size.unembed(1)
        + own
    )
    # A restored MLP is not run again, nor are the blocks below it; the last runs one position.
    rows, after = s.facts * options.samples, s.padded(s.facts, 4) - s.before
    above = [max(0.0, size.n_layers - 1.5 - window) for window in range(windows)]
    restored = size.blocks(rows * after, s.length, sum(above), 0.0) + size.unembed(rows * windows)
    edits: Work = s.facts * windows * (options.steps * step + s.ask(ASKED))
    found: Work = s.ask((1 + KEPT) * s.facts) + _whole(s, options.samples + 1, 4) + restored
    return found + edits


def _whole(s: Scene, per_fact: float, batch: int) -> Work:
    """Run `per_fact` rows of every fact whole, the last position unembedded."""
    rows, batches = s.facts * per_fact, math.ceil(s.facts / batch)
    width = s.padded(s.facts, batch)
    blocks = s.size.blocks(rows * width, width, s.size.n_layers, batches * per_fact)
    return blocks + s.size.unembed(rows)


def _patched(s: Scene, samples: int, starts: list[int], singles: int) -> Work:
    """Restore states from `starts` at every position after the subject's first, and components."""
    size, rows, after = s.size, s.facts * samples, s.padded(s.facts, 4) - s.before
    batches = math.ceil(s.facts / max(1, min(4, 1024 // max(1, samples * max(1, len(starts))))))
    places = rows * len(starts) * after
    # In the last block only the last position is run.
    top = size.n_layers - 1
    depth = sum(max(0.0, top - start - 0.5) for start in starts) / max(1, len(starts))
    grid = size.blocks(places * (after + 1) / 2, s.length, depth, 0.0) + size.unembed(places)
    last = size.blocks(
        places, s.length, sum(one < top for one in starts) / max(1, len(starts)), 0.0
    )
    whole = size.blocks(rows * singles * after, s.length, (top + 1) / 2, 0.0)
    whole += size.blocks(rows * singles, s.length, 1, 0.0)
    passes = Work(passes=batches * (after * bool(starts) + 1) * size.n_layers)
    return grid + last + whole + size.unembed(rows * singles) + passes + _whole(s, samples + 1, 4)


def _edges(s: Scene, options: Any, points: int, runs: float = 1.0) -> Work:
    """Slopes at every reader of `runs` runs from `points` points, met with every sender."""
    size, copies = s.size, options.samples
    batches = math.ceil(s.facts / options.batch_size)
    rows, width = s.facts * copies * points * runs, s.padded(s.facts, options.batch_size)
    slopes = size.blocks(rows * width, width, 2 * size.n_layers, 2 * batches * runs)
    senders, readers = size.n_layers * (size.n_heads + 1), size.n_layers * (3 * size.n_heads + 1)
    # Half of the pairs: a sender comes before its reader.
    met = s.facts * copies * width * size.d_model * senders * readers
    written = 2 * s.facts * copies * width * size.attention * size.d_model * size.n_layers**2 / 2
    edges = Work(met + written, batches * runs * size.n_layers**2)
    asked = s.ask(s.facts) + _whole(s, copies + 1, options.batch_size)
    return asked + slopes + size.unembed(2 * rows) + edges


def _paths(s: Scene, rows: float, onward: bool) -> Work:
    """Send outputs along the paths to the end, or to a layer from which all runs on."""
    size, tokens = s.size, s.padded(s.facts, 4) - s.before if onward else 1.0
    # Attention is held on the way, so that MLPs alone are run again.
    share = 3 * size.mlp * size.d_model / size.weights
    n = size.n_layers / 2 * (1 if onward else share)
    batches = math.ceil(s.facts / 4)
    return size.blocks(s.facts * rows * tokens, s.length, n, 2 * batches) + size.unembed(
        s.facts * rows
    )


FORMULAS: dict[str, Formula] = {
    one.__name__: one
    for one in (
        causal_tracing, activation_patching, attribution_patching, atp_star, eap, eap_ig,
        eap_ig_activations, direct_logit_attribution, logit_lens, path_patching, fact_lookup,
        learned_mask, trial_edits,
    )
}  # fmt: skip
"""Method -> its formula."""

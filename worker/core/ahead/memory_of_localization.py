"""Memory of a localization beside the weights, counted by formula from its prompts' lengths.

1. What a run keeps of every token: the residual stream and the sites that a method asks for.
2. What a backward pass finds kept in every block, and the gradients of the sites.
3. What patched rows hold at a block's widest point, and the logits that are read together.

Of facts that are measured one batch after another the largest batch counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker.core.ahead.memory_of_edit import FLOAT32, USUAL_LOSS, kept_by
from worker.core.ahead.scene import Scene
from worker.core.models.model import Model
from worker.core.patching.bench import facts_that_fit

Formula = Callable[[Scene, Model, Any], float]
ASKED = 64
"""Prompts that are asked together, to leave out what the model does not know."""
UNEMBEDDED = 256
"""Patched rows whose logits are held at a time."""
LOGITS = 2
"""Tensors of the logits' size that a reading holds: they and their log-softmax."""
WIDEST = 3
"""Residuals, and intermediates of the MLP, that are alive at a block's widest point."""


def localization_bytes(s: Scene, model: Model, name: str, options: Any) -> float:
    """Bytes of a localization by a method, beside the model's weights."""
    return max(_asking(s, model), FORMULAS[name](s, model, options))


def direct_logit_attribution(s: Scene, model: Model, options: Any) -> float:
    rows = min(options.batch_size, s.facts)
    return _base(s, model, rows * s.padded(rows), _writes(s) + s.size.attention)


def logit_lens(s: Scene, model: Model, options: Any) -> float:
    rows = min(options.batch_size, s.facts)
    kept = _base(s, model, rows * s.padded(rows), s.size.d_model)
    # Of one fact every state is unembedded, and of the last position also those between.
    read = (s.lengths[-1] + 2) * s.size.n_layers
    return float(kept + LOGITS * FLOAT32 * read * s.size.d_vocab)


def attribution_patching(s: Scene, model: Model, options: Any) -> float:
    tokens = _rows(s, options) * s.padded(_rows(s, options))
    found = s.size.d_model + _writes(s) + s.size.attention
    # The other run's sites; and of this one the graph, what it would not keep, and the gradients.
    held = 2 * found + found - s.size.d_model
    return float(model.dtype.itemsize * tokens * s.size.n_layers * held + _graph(s, model, tokens))


def atp_star(s: Scene, model: Model, options: Any) -> float:
    tokens = _rows(s, options) * s.padded(_rows(s, options))
    found = _writes(s) + s.size.attention
    parts = s.size.attention + 2 * _keys(s, model)
    # Clean sites and projections, heads anew for each part, a plain run's sites and their
    # gradients, and the graph that is kept for every cut layer's, with what one cut gives.
    mixed = options.qk_fix * 3 * s.size.attention
    held = found + parts + mixed + 2 * found + 2 * found * options.grad_drop
    return float(model.dtype.itemsize * tokens * s.size.n_layers * held + _graph(s, model, tokens))


def eap(s: Scene, model: Model, options: Any) -> float:
    return _edges(s, model, options, 1)


def eap_ig(s: Scene, model: Model, options: Any) -> float:
    return _edges(s, model, options, options.steps)


def path_patching(s: Scene, model: Model, options: Any) -> float:
    n = len(options.senders) or s.size.n_layers * (s.size.n_heads + 2)
    onward = bool(options.receivers) or options.receiving_layer is not None
    return _paths(s, model, options.samples, n, onward)


def fact_lookup(s: Scene, model: Model, options: Any) -> float:
    if options.by == "path_patching" or (options.by == "auto" and not s.is_probed):
        return _paths(s, model, 1, s.size.n_layers * s.size.n_heads, True)
    n = min(options.probe_facts, s.facts + s.retain)
    # Residuals before and after every block of what is read together, of which the last stay.
    tokens = min(ASKED, n) * (s.before + s.name)
    depths = s.size.n_layers + 1
    read = model.dtype.itemsize * tokens * 2 * s.size.n_layers * s.size.d_model
    states = FLOAT32 * n * depths * s.size.d_model
    kernels = FLOAT32 * depths * n * n
    answers = FLOAT32 * 3 * n * s.kinds * (options.permutations + 1)
    return float(max(read + states, 2 * states + kernels + answers))


def learned_mask(s: Scene, model: Model, options: Any) -> float:
    rows = min(options.batch_size, s.facts)
    width = s.padded(s.facts, options.batch_size)
    gated = s.size.n_layers * (s.size.attention + s.size.d_model) * model.dtype.itemsize
    logits = FLOAT32 * s.size.d_vocab * (2 * s.facts + LOGITS * rows)
    # Corrupted outputs of all facts; of a step's, what is mixed and what it is mixed into.
    return float(_graph(s, model, rows * width) + gated * width * (s.facts + 2 * rows) + logits)


def causal_tracing(s: Scene, model: Model, options: Any) -> float:
    singles = s.size.n_layers * (2 + options.heads * s.size.n_heads)
    return _patched(s, model, options.samples, len(options.sites) * s.size.n_layers, singles)


def activation_patching(s: Scene, model: Model, options: Any) -> float:
    singles = s.size.n_layers * (2 + options.heads * s.size.n_heads)
    each = [s.size.n_heads if site == "head" else 1 for site in options.sites]
    grid = sum(each) * s.size.n_layers * (options.places == "each")
    return _patched(s, model, options.samples, grid, singles)


def trial_edits(s: Scene, model: Model, options: Any) -> float:
    windows = max(1, s.size.n_layers - options.window + 1)
    # One MLP's or a window's values to put back, their gradients and Adam's two moments.
    own = 4 * FLOAT32 * options.window * 3 * s.size.d_model * s.size.mlp
    step = s.lengths[-1] * kept_by(s, model, options.window, s.size.n_layers - options.window)
    step += USUAL_LOSS * FLOAT32 * s.keep * s.size.d_vocab
    return float(max(_patched(s, model, options.samples, 0, windows), own + step))


def _rows(s: Scene, options: Any) -> float:
    return float(min(options.batch_size, s.facts) * options.samples)


def _keys(s: Scene, model: Model) -> float:
    return s.size.attention * model.n_kv_heads / model.n_heads


def _writes(s: Scene) -> float:
    return 2.0 * s.size.d_model


def _base(s: Scene, model: Model, tokens: float, sites: float) -> float:
    """Count a run of which residuals, keys, values and so many numbers of sites are kept."""
    each = s.size.d_model + s.size.n_layers * (s.size.d_model + 2 * _keys(s, model) + sites)
    return model.dtype.itemsize * tokens * each


def _graph(s: Scene, model: Model, tokens: float) -> float:
    return tokens * kept_by(s, model, 0, s.size.n_layers)


def _asking(s: Scene, model: Model) -> float:
    """Count a batch of prompts that the model is asked, which of all facts it may be to know."""
    rows = min(ASKED, s.facts + s.retain)
    widest = model.dtype.itemsize * WIDEST * (s.size.d_model + s.size.mlp)
    return rows * (s.padded(rows) * widest + LOGITS * FLOAT32 * s.keep * s.size.d_vocab)


def _edges(s: Scene, model: Model, options: Any, points: int) -> float:
    """Count clean and corrupted rows with what senders write, and the graph of all points.

    Every reader's input stays with its slope, keys and values serve their heads one by one, and
    one layer's slopes at a time are pulled back through its norm.
    """
    facts = min(options.batch_size, s.facts)
    width = s.padded(facts)
    sites = 2 * _writes(s) + s.size.attention
    base = _base(s, model, facts * (1 + options.samples) * width, sites)
    tokens, keys = facts * options.samples * points * width, _keys(s, model)
    read = 2 * (s.size.attention + 2 * keys + s.size.d_model) + 2 * (s.size.attention - keys)
    pulled = 3 * (model.n_heads + 2 * model.n_kv_heads) * s.size.d_model
    beside = model.dtype.itemsize * tokens * (s.size.n_layers * read + pulled)
    return float(base + _graph(s, model, tokens) + beside)


def _patched(s: Scene, model: Model, samples: int, grid: int, singles: int) -> float:
    """Count a batch's base run, and the rows that all its patches carry from a position on."""
    longest, patches = s.lengths[-1], max(grid, singles)
    facts = min(s.facts, facts_that_fit(model, samples, longest, patches))
    sites = _writes(s) + s.size.attention
    base = _base(s, model, facts * (samples + 1) * longest, sites)
    rows, behind = facts * samples * patches, max(1.0, longest - s.before)
    carried = model.dtype.itemsize * rows * behind * WIDEST * (s.size.d_model + s.size.mlp)
    return base + max(carried, LOGITS * FLOAT32 * min(UNEMBEDDED, rows) * s.size.d_vocab)


def _paths(s: Scene, model: Model, samples: int, senders: int, onward: bool) -> float:
    longest = s.lengths[-1]
    facts = min(s.facts, facts_that_fit(model, samples, longest, senders))
    base = _base(s, model, facts * (samples + 1) * longest, _writes(s) + s.size.attention)
    positions = max(1.0, longest - s.before) if onward else 1.0
    rows = facts * samples * senders
    carried = model.dtype.itemsize * rows * positions * WIDEST * (s.size.d_model + s.size.mlp)
    return base + max(carried, LOGITS * FLOAT32 * min(UNEMBEDDED, rows) * s.size.d_vocab)


FORMULAS: dict[str, Formula] = {
    one.__name__: one
    for one in (
        causal_tracing, activation_patching, attribution_patching, atp_star, eap, eap_ig,
        direct_logit_attribution, logit_lens, path_patching, fact_lookup, learned_mask,
        trial_edits,
    )
} | {"eap_ig_activations": eap_ig}  # fmt: skip
"""Method -> its formula."""

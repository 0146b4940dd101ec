"""Work of every unlearning and editing method, by formula."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from worker.core.ahead.of_localization import FORMULAS as LOCALIZATION
from worker.core.ahead.scene import Scene
from worker.core.ahead.work import NOTHING, Work
from worker.core.closed_form.memory import READ_TOGETHER
from worker.core.demo.paths import SAGA
from worker.core.registry import method
from worker.core.training.base_text import READ_AT_ONCE
from worker.core.training.search import plan
from worker.core.training.terms import diverges
from worker.core.training.trainer import PROBED

Formula = Callable[[Scene, Any], Work]
PROOFS = 3.0
"""Times that an edit hashes what it may change, to prove what changed and that it was put back."""
CHECKSUM = 12.0
"""Numbers touched in the time in which one is hashed."""
OPTIMIZED = 20.0
"""Numbers touched by an optimizer's step and the gradient's norm, for each that is trained."""
CHARACTERS = 4.0
"""Of a token of ordinary text."""


def localized_finetuning(s: Scene, options: Any) -> Work:
    work = trained(s, options, objective=options.objective, partitions=options.partitions)
    if options.localize_each:
        found = method("localization", options.localize_each)
        work += LOCALIZATION[options.localize_each](s, found.options())
    return work


def grad_diff(s: Scene, options: Any) -> Work:
    return trained(s, options)


gradient_ascent = simnpo = grad_diff


def npo(s: Scene, options: Any) -> Work:
    return trained(s, options) + s.ask(s.facts, batch=32)


undial = npo


def idk_dpo(s: Scene, options: Any) -> Work:
    # The refusal's rows are asked beside the target's.
    return trained(s, options, forget=2.0) + 2 * s.ask(s.facts, batch=32)


def ft_l(s: Scene, options: Any) -> Work:
    return trained(s, options, kept=False, objective="edit")


def rmu(s: Scene, options: Any) -> Work:
    layer = s.layers[-1] if options.layer < 0 else options.layer
    return trained(s, options, above=s.size.n_layers - layer - 1)


def task_vector(s: Scene, options: Any) -> Work:
    tried = len(options.scales) * _probe(s, options, False)
    loads = Work(touched=4 * s.parameters * len(options.scales))
    return trained(s, options, kept=False) + tried + loads


def weight_masking(s: Scene, options: Any) -> Work:
    points = 2 if options.edited_weights else options.points
    # Sorting the masks, and putting each number of weights in.
    sorted_ = Work(touched=s.parameters * (60 + 12 * points))
    each = points * _probe(s, options, options.objective == "edit") + sorted_
    size = Work(touched=8 * s.parameters) * options.steps
    found: Work = trained(s, options, objective=options.objective) + len(plan(options)) * (
        each + size
    )
    return found


def whos_harry_potter(s: Scene, options: Any) -> Work:
    size = s.size
    characters = s.texts.get(options.text) or SAGA.stat().st_size
    rows = max(1.0, characters / CHARACTERS / options.block)
    block = min(options.block, characters / CHARACTERS)

    def step(n: float, below: int, own: float) -> Work:
        tokens = min(n, rows) * block
        return size.train(tokens, block, tokens, below, own)

    reinforced = options.reinforce_steps * step(options.reinforce_batch, 0, 0.0)
    labelled = 4 * s.read(rows, block, 1)
    own = options.steps * step(options.forget_batch, s.lowest, s.parameters)
    found: Work = reinforced + labelled + own + trained(s, options, forget=0.0)
    return found


def rome(s: Scene, options: Any) -> Work:
    return _closed(s, options, solves=1)


def memit(s: Scene, options: Any) -> Work:
    return _closed(s, options, solves=1)


def alphaedit(s: Scene, options: Any) -> Work:
    # Eigenvectors, some fifteen times as dear as a solution, and their projector.
    return _closed(s, options, solves=16)


def stack_edits(s: Scene, options: Any) -> Work:
    n = len(options.edits)
    each = (s.ask(facts * s.scored(), keep=s.keep) for facts in s.changed)
    asked = 2 * (n + 1) * sum(each, NOTHING)
    return asked + _spoken(s) + Work(touched=s.parameters * (8 * n + CHECKSUM * (n + PROOFS)))


def trained(
    s: Scene,
    options: Any,
    *,
    objective: str = "unlearn",
    kept: bool = True,
    forget: float = 1.0,
    partitions: int = 1,
    above: int = 0,
) -> Work:
    """Train the mask by the shared options; `above` are the highest layers that are not run."""
    size, below = s.size, s.lowest
    facts = s.facts / partitions
    rows = forget * min(options.forget_batch, facts)
    step, before = _step(s, rows, below, above), NOTHING
    if kept and options.retain_weight > 0:
        n = min(options.retain_batch, options.retain_facts, s.parted[0])
        step += _step(s, n, below, above) if n else NOTHING
    if kept and options.general_weight > 0:
        n = min(options.general_batch, options.general_sentences)
        width = min(options.context, s.widest(n))
        unembedded = 0.0 if above else n * width
        step += size.train(n * width, width, unembedded, below + above, s.parameters)
        if unembedded and diverges(options, s.is_bundled):
            step += size.unembed(unembedded)
            before = _base_text(s, options)
    probes = 1 + math.ceil(options.steps / options.probe_every)
    updated = Work(touched=OPTIMIZED * s.parameters)
    steps = options.steps * (options.accumulation * step + updated)
    once = partitions * (steps + probes * _probe(s, options, objective == "edit"))
    beside = before + _entering(s, options) + _proved(s.parameters) + _spoken(s)
    found: Work = len(plan(options)) * once + beside
    return found


def _step(s: Scene, rows: float, below: int, above: int) -> Work:
    """Forward and backward on some facts, whose beginning runs once."""
    width, begun = s.padded(rows), s.begun(rows)
    tokens = rows * max(1.0, width - begun) + begun
    unembedded = 0.0 if above else rows * s.keep
    # A shared beginning is a forward of its own.
    more = Work(passes=2.0 * (s.size.n_layers - below - above) * bool(begun))
    return s.size.train(tokens, width, unembedded, below + above, s.parameters) + more


def _probe(s: Scene, options: Any, editing: bool) -> Work:
    rows = min(PROBED, s.facts)
    asked = (2 if editing else 1) * s.ask(rows, below=s.lowest, keep=s.keep)
    return asked + s.ask(min(PROBED, s.parted[1]), below=s.lowest, keep=s.keep)


def _entering(s: Scene, options: Any) -> Work:
    """Keep what enters the lowest trained layer, once for every row."""
    if not s.lowest:
        return NOTHING
    facts = s.facts + min(options.retain_facts, s.parted[0]) + min(PROBED, s.parted[1])
    sentences = _sentences(options)
    tokens = facts * s.padded(facts) + sentences * min(options.context, s.widest(sentences))
    return s.size.blocks(tokens, s.length, s.lowest, (facts + sentences) / 32)


def _base_text(s: Scene, options: Any) -> Work:
    """Keep what leaves the last layer, once for every passage."""
    rows = _sentences(options)
    tokens = min(options.context, s.widest(rows))
    passes = math.ceil(rows / READ_AT_ONCE)
    return s.size.blocks(rows * tokens, tokens, s.size.n_layers - s.lowest, passes)


def _sentences(options: Any) -> int:
    drawn = options.steps * options.accumulation * options.general_batch
    n: int = min(options.general_sentences, drawn)
    return n


def _spoken(s: Scene) -> Work:
    """Continue ordinary prompts before the edit and after it."""
    return (1 if "continuations" in s.kept else 2) * s.spoken()


def _proved(parameters: float) -> Work:
    return Work(touched=CHECKSUM * PROOFS * parameters)


def _closed(s: Scene, options: Any, solves: float) -> Work:
    """Second moments, values by gradient from the last layer on, and a solution per layer."""
    size, layers = s.size, s.written(options)
    last = layers[-1]
    missing = [layer for layer in layers if f"moments {layer}" not in s.kept]
    moments = _moments(s, options, missing) if missing else NOTHING
    rows = s.facts * options.contexts
    behind = max(1.0, s.after - s.name + 1)
    asked = size.train(rows * behind, s.length, rows, last, 0.0)
    drift = size.train(s.facts * 3, s.name + 3, s.facts, last, 0.0)
    values = options.value_steps * (asked + drift)
    solved = Work(2 * (2 / 3) * size.mlp**3 * solves * len(layers))
    written = Work(touched=4 * s.facts * size.mlp * size.d_model) if len(layers) == 1 else NOTHING
    keys = (len(layers) + 2) * s.ask(2 * rows, below=size.n_layers - last - 1)
    probes = 2 * (2 * s.ask(s.facts, keep=s.keep) + s.ask(min(PROBED, s.parted[1]), keep=s.keep))
    around = probes + _spoken(s)
    around += _proved(float(len(layers)) * size.mlp * size.d_model)
    found: Work = moments + values + solved + written + keys + around
    return found


def _moments(s: Scene, options: Any, layers: Sequence[int]) -> Work:
    """Read ordinary text, and as many tokens of retain facts, and square what enters each MLP."""
    size, tokens, n = s.size, options.covariance_tokens, max(layers) + 1
    read = size.blocks(tokens, s.sentence, n, tokens / READ_TOGETHER)
    if options.protect_retain and s.retain:
        of_facts = min(tokens, s.parted[0] * (s.length + s.answer))
        read += size.blocks(of_facts, s.length, n, of_facts / READ_TOGETHER)
        tokens += of_facts
    return read + Work(2 * 2 * tokens * size.mlp**2 * len(layers))  # in float64, twice as dear


FORMULAS: dict[str, Formula] = {
    "localized_finetuning": localized_finetuning,
    "grad_diff": grad_diff,
    "gradient_ascent": gradient_ascent,
    "simnpo": simnpo,
    "npo": npo,
    "undial": undial,
    "idk_dpo": idk_dpo,
    "ft_l": ft_l,
    "rmu": rmu,
    "task_vector": task_vector,
    "weight_masking": weight_masking,
    "whos_harry_potter": whos_harry_potter,
    "rome": rome,
    "memit": memit,
    "alphaedit": alphaedit,
    "stack_edits": stack_edits,
}
"""Method -> its formula."""

"""Memory of an edit beside the model's weights, counted by formula from the lengths of its rows.

1. A copy of what the edit changes, to put back and to compare with.
2. A training: its best checkpoint, gradients and Adam's two moments, in float32; what enters the
   lowest trained layer, of every row, and of general text held to the base also what leaves the
   last; and the largest of its batches, with what its blocks keep for their backward and what its
   loss holds of the vocabulary.
3. A stack of edits: another copy of what they changed, and every edit's own values.
4. A closed form: the keys' second moments, and the largest of its parts: reading the text that
   they are taken of, searching values by gradient, and solving.

What its own files take while they are written is not counted.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from worker.core.ahead.scene import Scene
from worker.core.closed_form.memory import READ_TOGETHER
from worker.core.models.batches import PIECE_BYTES
from worker.core.models.model import Model
from worker.core.training.auto import is_asked, starting_point
from worker.core.training.options import Training
from worker.core.training.terms import REFERENCE_BATCH, diverges
from worker.core.training.trainer import PROBED

FLOAT32, FLOAT64 = 4, 8
MOMENTS = 2
LOSS = {"undial": 6}
"""Tensors of the logits' size that a method's loss on forget facts holds at once."""
USUAL_LOSS = 3
"""A log-softmax, its gradient and that of the logits; of a divergence, both logits and a gradient.
"""
OWN = {"weight_masking": 6}
"""Numbers that a method holds of each parameter in the mask beside what every training does."""
ASKED = 64
"""Prompts that are asked together."""


def kept_by(s: Scene, model: Model, trained: int, frozen: int) -> float:
    """Bytes of one token that so many blocks keep for their backward.

    Frozen matrices keep nothing of what they multiply: two residuals, what the attention takes and
    gives, and three intermediates of the MLP are left. Those that are trained keep it as well.
    """
    width, inner = s.size.d_model, s.size.mlp
    keys = s.size.attention * model.n_kv_heads / model.n_heads
    of_frozen = 2 * width + 2 * s.size.attention + 2 * keys + 3 * inner
    return float(model.dtype.itemsize * (frozen * of_frozen + trained * (of_frozen + _more(s))))


def _more(s: Scene) -> float:
    return float(2 * s.size.d_model + s.size.mlp)


COUNTED = (
    "localized_finetuning", "grad_diff", "gradient_ascent", "simnpo", "npo", "undial", "idk_dpo",
    "ft_l", "rmu", "task_vector", "weight_masking", "rome", "memit", "alphaedit",
    "stack_edits",
)  # fmt: skip
"""Methods whose memory is counted here."""


def edit_bytes(s: Scene, model: Model, name: str, options: Any) -> float:
    """Bytes of an edit by a method."""
    if isinstance(options, Training):
        if is_asked(model, options):
            options = starting_point(model, options)
        if getattr(options, "localize_each", ""):
            s = replace(s, lowest=0)  # a later mask may begin below an earlier one
        return _trained(s, model, name, options)
    if name == "stack_edits":
        return _stacked(s, model, options)
    return _closed(s, model, name, options)


def _stacked(s: Scene, model: Model, options: Any) -> float:
    """Count the mask's tensors as they were, twice, and as each edit left them; and one tensor
    while it is added to in float64, or a batch of prompts with its logits and their log-softmax."""
    own = s.parameters * model.dtype.itemsize * (2 + len(options.edits))
    added = 3 * FLOAT64 * s.size.mlp * s.size.d_model
    rows = min(ASKED, max(s.changed, default=0))
    widest = s.padded(rows) * model.dtype.itemsize * 3 * (s.size.d_model + s.size.mlp)
    asked = rows * (widest + s.keep * 2 * FLOAT32 * s.size.d_vocab)
    return float(own + max(added, asked))


def _trained(s: Scene, model: Model, name: str, options: Training) -> float:
    """Count a training's own copies, what it keeps of all rows, and its largest batch."""
    own = s.parameters * (model.dtype.itemsize + FLOAT32 * (2 + MOMENTS))
    if model.dtype.itemsize < FLOAT32:
        own += FLOAT32 * s.parameters
    own += OWN.get(name, 0) * FLOAT32 * s.parameters
    return own + _states(s, model, name, options) + _batch(s, model, name, options)


def _states(s: Scene, model: Model, name: str, options: Training) -> float:
    """Count the hidden states that are kept of every row."""
    each = s.size.d_model * model.dtype.itemsize
    of_facts = min(options.retain_facts, s.parted[0]) + min(PROBED, s.parted[1]) + s.facts
    tokens = of_facts * s.lengths[-1]
    text = _sentences(options) * _text_width(s, options)
    found = each * (tokens + text) * bool(s.lowest)
    if name == "rmu" or diverges(options, s.is_bundled):
        found += each * text * (options.general_weight > 0)
    return found


def _batch(s: Scene, model: Model, name: str, options: Training) -> float:
    """Count the largest of a step's batches, and of the probes between the steps."""
    highest = _highest(s, model, name, options)
    trained = len(s.layers)
    kept = kept_by(s, model, trained, max(0, highest + 1 - s.lowest - trained))
    a_place = FLOAT32 * s.size.d_vocab * (name != "rmu")
    rows: float = min(options.forget_batch, s.facts) * (2 if name == "idk_dpo" else 1)
    found = [rows * (s.padded(rows) * kept + s.keep * a_place * LOSS.get(name, USUAL_LOSS))]
    at_once = max(1.0, PIECE_BYTES // (FLOAT32 * s.size.d_vocab)) if a_place else math.inf
    if options.retain_weight > 0 and s.parted[0]:
        rows = min(options.retain_batch, options.retain_facts, s.parted[0])
        rows = min(rows, max(1.0, at_once // s.keep))
        found.append(rows * (s.padded(rows) * kept + s.keep * a_place * USUAL_LOSS))
    if options.general_weight > 0:
        width = _text_width(s, options)
        places = min(options.general_batch, _sentences(options)) * width
        places = min(places, max(width, at_once // width * width))
        found.append(places * (kept + a_place * USUAL_LOSS))
    asked = min(max(PROBED, REFERENCE_BATCH), s.facts + s.parted[1])
    found.append(asked * s.keep * FLOAT32 * s.size.d_vocab * 2)
    return max(found)


def _highest(s: Scene, model: Model, name: str, options: Training) -> int:
    """Give the last layer that a step runs through."""
    if name != "rmu":
        return model.n_layers - 1
    layer: int = getattr(options, "layer", -1)
    return s.layers[-1] if layer < 0 else layer


def _sentences(options: Training) -> int:
    drawn = options.steps * options.accumulation * options.general_batch
    n: int = min(options.general_sentences, drawn)
    return n


def _text_width(s: Scene, options: Training) -> float:
    return min(options.context, s.sentences[-1])


def _closed(s: Scene, model: Model, name: str, options: Any) -> float:
    """Count a closed form's moments, and the largest of what it does one after another."""
    layers = s.written(options)
    square, weight = s.size.mlp**2, s.size.mlp * s.size.d_model
    moments = FLOAT64 * square * len(layers)
    copied = model.dtype.itemsize * weight * len(layers)
    solving = FLOAT64 * (_SOLVING[name] * square + 3 * weight)
    read = _reading(s, model, options, layers)
    searched = _values(s, model, options, layers[-1])
    return float(copied + moments + max(solving, read, searched))


_SOLVING = {"rome": 2, "memit": 3, "alphaedit": 4}
"""Matrices of the moments' size that are there while one layer is solved."""


def _reading(s: Scene, model: Model, options: Any, layers: tuple[int, ...]) -> float:
    """Count the largest batch of the text that second moments are taken of, with its padding.

    What a block holds at its widest and what is made of its keys count together: the allocator
    gives what one of them leaves not whole to the other.
    """
    if all(f"moments {layer}" in s.kept for layer in layers):
        return 0.0
    rows = math.ceil(options.covariance_tokens / s.sentence)
    tokens = min(rows * s.widest(rows), max(READ_TOGETHER, s.sentences[-1]))
    inner = model.dtype.itemsize * s.size.mlp
    block = 3 * inner + model.dtype.itemsize * 5 * s.size.d_model
    # Of one layer at a time the keys are taken out, and put into float64.
    return float(tokens * (block + inner * len(layers) + FLOAT64 * s.size.mlp))


def _values(s: Scene, model: Model, options: Any, last: int) -> float:
    """Count a step of the search for all facts' values at once."""
    rows = s.facts * options.contexts
    behind = max(1.0, s.after - s.name + 1)
    kept = kept_by(s, model, 0, model.n_layers - last)
    a_place = FLOAT32 * s.size.d_vocab
    drift = s.facts * (3 * kept + 5 * a_place)
    return float(rows * (behind * kept + s.keep * a_place * (USUAL_LOSS + 1)) + drift)

"""How much memory a model and a job on it need, estimated from the configuration alone.

1. Weights: parameters × bytes of the dtype in which the device computes.
2. A localization holds them and, for one batch of facts, what causal tracing with its defaults
   holds: every layer's residual, outputs, keys and values of the clean and the corrupted prompts,
   and the widest point of a block for the rows that a restart carries, one per noise sample, site
   and layer.
3. An evaluation of an edit holds the weights, the edit's values, and a copy of what they replace
   (at most the components); a CPU holds the edit's file too while it is read.
4. An edit holds the weights and, of what the mask names (at most the components): a copy to put
   back and compare with, the training's best checkpoint, the gradients and Adam's two moments; and
   the activations of its largest batch, or piece of one.

Limits: prompts of PROMPT tokens from the subject on are assumed, and default options; longer ones
need more. On a GPU batches grow into the memory that is free, so one fact is counted there: the
least that is needed. The peak while loading is that of the weights and one tensor more. Tests hold
point 1 to the byte, and 2 to 4 to a fifth of what a process on a CPU is then seen to take.
Of a base in 8 bits the same is counted with its matrices' integers and scales (`int8.py`), and one
matrix scaled back; of a model with blocks on several devices, what the first holds of the weights
and the largest block that is brought to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from worker.contract.menu import Placement
from worker.core.models.batches import PIECE_BYTES
from worker.core.models.model import Model
from worker.core.models.placement import block_bytes, placement_of

PROMPT = 16
"""Tokens of a usual prompt."""
_FACTS, _COPIES, _SITES = 4, 10, 3
"""Causal tracing's largest batch on a CPU, its noise samples and its sites."""
_BATCH_BYTES = 2**30
"""What it lets a batch take on a CPU, by a formula of its own."""
_UNEMBEDDED = 256
"""Rows whose logits are held at a time."""
_TRAINED_FACTS, _TRAINED_TEXTS = 16, 8
"""Rows of a training's batches: of facts only answers are unembedded, of texts every token."""
_PASSAGE = 100
"""Tokens of a passage of ordinary text that a training reads."""
_ASKED_ROWS = 64
"""Prompts that an evaluation asks together."""
_PROCESS = {"cpu": 0, "cuda": 600 * 2**20}
"""Bytes that the device's own context takes beside the tensors."""


def estimate_memory(
    model: Model,
    component_parameters: dict[str, int],
    dtype: torch.dtype,
    device: torch.device,
    n_changed: int | None = None,
    placement: Placement | None = None,
) -> dict[str, int]:
    """Estimate the bytes of a model, also on the meta device: `load`, and one entry per run kind.

    `n_changed` is how many parameters an edit changes; None means all components'. `placement` is
    where blocks would be; a loaded model knows it itself.
    """
    size = dtype.itemsize
    weights = _weight_bytes(model, dtype, placement or placement_of(model.hf))
    weights += _PROCESS.get(device.type, 0)
    if n_changed is None:
        n_changed = sum(n for name, n in component_parameters.items() if ".head." not in name)
    changed = size * n_changed
    logits = 2 * 4 * _UNEMBEDDED * model.d_vocab
    kept, carried = _restart_bytes(model, size)
    facts = min(_FACTS, max(1, _BATCH_BYTES // (kept + carried))) if device.type == "cpu" else 1
    return {
        "load": weights,
        # What was carried to the end is let go before it is unembedded.
        "explore": weights + kept + max(carried, logits),
        "localize": weights + facts * kept + max(facts * carried, logits),
        "evaluate": weights + _evaluation_bytes(model, changed, size, device),
        "unlearn": weights + changed + _training_bytes(model, n_changed, size),
        "export": weights + changed,
    }


def estimate_memory_8bit(model: Model, dtype: torch.dtype, device: torch.device) -> dict[str, int]:
    """Estimate the bytes of a base loaded in 8 bits, and of a localization on it."""
    matrices = list(_matrices(model))
    saved = sum((dtype.itemsize - 1) * m.numel() - 4 * n for m, n in matrices)
    # Scaled back in float32 first, then in the dtype of the product.
    scaled = max((4 + 4 + dtype.itemsize) * m.numel() for m, _ in matrices)
    full = estimate_memory(model, {}, dtype, device)
    return {"load": full["load"] - saved, "localize": full["localize"] - saved + scaled}


def _matrices(model: Model) -> Iterator[tuple[torch.Tensor, int]]:
    """Give every block's matrices with the number of their outputs."""
    for module in model.blocks.modules():
        if isinstance(module, nn.Linear | Conv1D):
            yield module.weight, module.nf if isinstance(module, Conv1D) else module.out_features


def _weight_bytes(model: Model, dtype: torch.dtype, placement: Placement | None) -> int:
    """Bytes of weights on the device that computes, and of the largest block brought to it."""
    total = sum(
        p.numel() * (p.itemsize if p.dtype == torch.int8 else dtype.itemsize)
        for p in model.hf.parameters()
    )
    if placement is None:
        return total
    sizes = block_bytes(model, dtype)
    away = [n for n, at in zip(sizes, placement.blocks, strict=True) if at != placement.main]
    return total - sum(away) + max(away)


def _restart_bytes(model: Model, size: int) -> tuple[int, int]:
    """Bytes of one fact: kept by the base run, and at the widest point of a restart's block."""
    kept = (_COPIES + 1) * (size * PROMPT * model.n_layers * 5 * model.d_model + 4 * model.d_vocab)
    rows = _COPIES * _SITES * model.n_layers
    # In the MLP three residuals and three intermediates of every carried row are alive.
    carried = size * rows * PROMPT * 3 * (model.d_model + _mlp_width(model))
    return kept, carried


def _evaluation_bytes(model: Model, changed: int, size: int, device: torch.device) -> int:
    """Bytes beside the weights while an edit is put in, or while prompts are asked after it."""
    asked = size * _ASKED_ROWS * PROMPT * 3 * (model.d_model + _mlp_width(model))
    asked += 2 * 4 * _ASKED_ROWS * model.d_vocab
    if device.type == "cpu":
        return 2 * changed + max(changed, asked)
    return changed + asked  # the edit's values are read into the machine's memory


def _training_bytes(model: Model, n_changed: int, size: int) -> int:
    """Bytes of a training's own copies, in float32 whatever the model's dtype, and of a batch."""
    # Best, gradients and two moments; of half precision also the values that are trained.
    own = 4 * n_changed * (4 if size == 4 else 5)
    kept = kept_bytes(model)
    texts = min(_TRAINED_TEXTS, max(1, PIECE_BYTES // (4 * _PASSAGE * model.d_vocab)))
    of_text = texts * _PASSAGE * kept + logits_bytes(model, texts * _PASSAGE)
    return own + max(_TRAINED_FACTS * PROMPT * kept, of_text)


def kept_bytes(model: Model) -> int:
    """Bytes of one token that all blocks keep for their backward: eight residuals and four
    intermediates each."""
    return model.dtype.itemsize * model.n_layers * 4 * (2 * model.d_model + _mlp_width(model))


def logits_bytes(model: Model, tokens: int) -> int:
    """Bytes of the logits of `tokens` positions, their log-softmax and its gradient, or of a
    divergence both logits and the gradient, in float32."""
    return 3 * 4 * tokens * model.d_vocab


def _mlp_width(model: Model) -> int:
    config = model.hf.config.get_text_config()
    for name in ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"):
        if width := getattr(config, name, None):
            return int(width)
    return 4 * model.d_model

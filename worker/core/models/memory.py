"""How much memory a model and a job on it need, estimated from the configuration alone.

1. Weights: parameters × bytes of the dtype in which the device computes.
2. A localization holds them and, for one batch of facts, what causal tracing with its defaults
   holds: every layer's residual, outputs, keys and values of the clean and the corrupted prompts,
   and the widest point of a block for the rows that a restart carries, one per noise sample, site
   and layer.
3. An evaluation holds the weights, a copy of those that the edits change (at most the components)
   and the logits of a batch.
4. An edit holds the weights and, of what the mask names (at most the components), a copy, the
   gradients and Adam's two moments.

Limits: prompts of PROMPT tokens are assumed; longer ones need more. On a GPU batches grow into the
memory that is free, so one fact is counted there: the least that is needed. The peak while loading
is that of the weights and one tensor more. Point 1 is exact; the others are of the right size.
"""

from __future__ import annotations

import torch

from worker.core.models.model import Model

PROMPT = 16
"""Tokens of a usual prompt."""
_FACTS, _COPIES, _SITES = 4, 10, 3
"""Causal tracing's largest batch on a CPU, its noise samples and its sites."""
_BATCH_BYTES = 2**30
"""What it lets a batch take on a CPU, by a formula of its own."""
_UNEMBEDDED = 256
"""Rows whose logits are held at a time."""
_PROCESS = {"cpu": 0, "cuda": 600 * 2**20}
"""Bytes that the device's own context takes beside the tensors."""


def estimate_memory(
    model: Model, component_parameters: dict[str, int], dtype: torch.dtype, device: torch.device
) -> dict[str, int]:
    """Estimate the bytes of a model on the meta device: `load`, and one entry per run kind."""
    size = dtype.itemsize
    weights = size * sum(p.numel() for p in model.hf.parameters())
    weights += _PROCESS.get(device.type, 0)
    changed = size * sum(n for name, n in component_parameters.items() if ".head." not in name)
    logits = 2 * 4 * _UNEMBEDDED * model.d_vocab
    one = _restart_bytes(model, size)
    facts = min(_FACTS, max(1, _BATCH_BYTES // one)) if device.type == "cpu" else 1
    batch = facts * one + logits
    return {
        "load": weights,
        "explore": weights + one + logits,
        "localize": weights + batch,
        "evaluate": weights + changed + logits,
        "unlearn": weights + 4 * changed + one + logits,
        "export": weights + changed,
    }


def _restart_bytes(model: Model, size: int) -> int:
    """Bytes of one fact: kept by the base run, and at the widest point of a restart's block."""
    kept = (_COPIES + 1) * PROMPT * model.n_layers * 5 * model.d_model
    rows = _COPIES * _SITES * model.n_layers
    # In the MLP three residuals and three intermediates of every carried row are alive.
    carried = rows * PROMPT * 3 * (model.d_model + _mlp_width(model))
    return int(size * (kept + carried))


def _mlp_width(model: Model) -> int:
    config = model.hf.config.get_text_config()
    for name in ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"):
        if width := getattr(config, name, None):
            return int(width)
    return 4 * model.d_model

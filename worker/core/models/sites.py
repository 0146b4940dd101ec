"""Where activations are seen: one module per site and layer, whatever the family.

Sites: `resid_pre` (block's input), `resid_post` (its output), `attn` and `mlp` (what these modules
return, before a post-norm), `attn_write` and `mlp_write` (what is added to the residual: after the
post-norm, where there is one), `z` (the heads' outputs side by side: the input of the output
projection).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor, nn

from worker.core.models.intercept import Replacement, seeing_input, seeing_output
from worker.core.models.model import Model

Site = Literal["resid_pre", "resid_post", "attn", "mlp", "attn_write", "mlp_write", "z"]
See = Callable[[Tensor], Tensor | None]


def module_at(model: Model, site: Site, layer: int) -> nn.Module:
    """The module whose input (`resid_pre`, `z`) or output a site is."""
    layout, block = model.layout, model.blocks[layer]
    names = {
        "attn": layout.attn,
        "mlp": layout.mlp or layout.mlp_out,
        "attn_write": layout.attn_write,
        "mlp_write": layout.mlp_write,
        "z": layout.o,
    }
    return block.get_submodule(names[site]) if site in names else block


def watch(model: Model, sights: Mapping[tuple[Site, int], See]) -> dict[nn.Module, Replacement]:
    """Make the replacements that show each (site, layer) to its function."""
    found: dict[nn.Module, Replacement] = {}
    for (site, layer), see in sights.items():
        module = module_at(model, site, layer)
        replacement = (seeing_input if site in ("resid_pre", "z") else seeing_output)(see)
        found = both(found, {module: replacement})
    return found


def as_batch(activation: Tensor, like: tuple[int, int]) -> Tensor:
    """View an activation as [batch, pos, width]; OPT's MLP works on [batch * pos, width]."""
    return activation.view(*like, -1) if activation.ndim == 2 else activation


def both(
    first: Mapping[nn.Module, Replacement], then: Mapping[nn.Module, Replacement]
) -> dict[nn.Module, Replacement]:
    """Put replacements on top of others, so that where they share a module both take place."""
    joined = dict(first)
    for module, replacement in then.items():
        joined[module] = _on_top(joined[module], replacement) if module in joined else replacement
    return joined


def _on_top(first: Replacement, then: Replacement) -> Replacement:
    return lambda forward: then(first(forward))

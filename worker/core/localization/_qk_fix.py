"""Attention computed anew with clean queries, keys or values on corrupted inputs."""

from __future__ import annotations

from torch import Tensor, nn

from worker.core.models.gradients import activations
from worker.core.models.intercept import (
    Forward,
    Replacement,
    replaced_forwards,
    seeing_input,
    seeing_output,
)
from worker.core.models.model import Model
from worker.core.models.projections import PARTS, Part, output_rows, projection, with_columns
from worker.core.models.sites import Site, module_at
from worker.core.patching.pairing import PairBatch

SITES: tuple[Site, ...] = ("z", "attn_write", "mlp_write")


def run_clean(
    model: Model, pairs: PairBatch
) -> tuple[dict[tuple[Part, int], Tensor], dict[str, list[Tensor]]]:
    projected: dict[tuple[Part, int], Tensor] = {}
    seen: dict[nn.Module, Replacement] = {}
    for layer in range(model.n_layers):
        for part in PARTS:
            module = projection(model, layer, part)
            seen[module] = _all_of(
                [p for p in PARTS if projection(model, layer, p) is module], layer, projected
            )
    with replaced_forwards(seen):
        kept = activations(model, pairs.batch, pairs.clean, list(SITES))
    sites: dict[str, list[Tensor]] = {site: kept.sites[site] for site in SITES}
    return projected, sites | {"logits": [kept.logits]}


def _all_of(parts: list[Part], layer: int, into: dict[tuple[Part, int], Tensor]) -> Replacement:
    return seeing_output(lambda output: into.update({(part, layer): output for part in parts}))


def attention_with_parts(
    model: Model, pairs: PairBatch, projected: dict[tuple[Part, int], Tensor]
) -> dict[tuple[Part, int], Tensor]:
    """Compute every attention's heads anew with clean queries, keys or values, one part at a time.

    The corrupted run goes on as it was: each attention is called again on the same input.
    """
    found: dict[tuple[Part, int], Tensor] = {}
    # Asked for before forwards are replaced, because a fused projection's rows are found by a run.
    columns = {part: [row for head in output_rows(model, part) for row in head] for part in PARTS}

    def again(layer: int) -> Replacement:
        def replace(forward: Forward) -> Forward:
            def run(*args: object, **kwargs: object) -> object:
                output = forward(*args, **kwargs)
                for part in PARTS:
                    with replaced_forwards(_swap(model, layer, part, columns, projected, found)):
                        forward(*args, **kwargs)
                return output

            return run

        return replace

    attentions = {module_at(model, "attn", k): again(k) for k in range(model.n_layers)}
    with replaced_forwards(attentions):
        activations(model, pairs.batch, pairs.corrupted, [])
    return found


def _swap(
    model: Model,
    layer: int,
    part: Part,
    columns: dict[Part, list[int]],
    projected: dict[tuple[Part, int], Tensor],
    found: dict[tuple[Part, int], Tensor],
) -> dict[nn.Module, Replacement]:
    def keep(z: Tensor) -> None:
        found[part, layer] = z

    return {
        projection(model, layer, part): seeing_output(
            lambda output: with_columns(output, projected[part, layer], columns[part])
        ),
        module_at(model, "z", layer): seeing_input(keep),
    }

"""Slopes at each reader's own branch of the residual stream, against plain gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.worker.core.models.families import make_model
from worker.core.models.base_run import BaseRun, run_base
from worker.core.models.model import Model
from worker.core.models.suffix import Suffix
from worker.core.models.tokens import pad
from worker.core.patching.edges import NEEDED
from worker.core.patching.slopes import Slopes, pull_back

IDS = ((0, 11, 12, 13, 14), (0, 21, 22, 23), (0, 31, 32, 33, 34))
ROWS = torch.tensor([2, 1])
"""Of the pairs, in an order of their own; row 1 is padded."""
FAMILIES = ["llama", "gpt2", "neox", "gemma2", "phi3", "opt", "qwen3"]
CLOSE = {"atol": 2e-4, "rtol": 1e-3}


def base_of(model: Model) -> BaseRun:
    return run_base(model, pad(model, IDS), sites=NEEDED)


def measure(logits: Tensor, pair: Tensor) -> Tensor:
    """Each pair's own token, once and twice."""
    own = torch.tensor([3, 7])[pair]
    return logits.gather(-1, own[:, None])[:, 0] * (1.0 + pair)


class Scored:
    """Slopes of a run from a layer's input, and the gradient at that input by plain autograd."""

    def __init__(
        self, family: str, layer: int, copies: int = 1, held: dict[nn.Module, Any] | None = None
    ) -> None:
        model = make_model(family)
        self.model, self.base = model, base_of(model)
        generator = torch.Generator().manual_seed(0)
        away = torch.randn(copies, 1, 1, 32, generator=generator)
        away[0] = 0.0
        self.start = (self.base.resid[layer][ROWS] + away).flatten(0, 1)
        self.suffix = Suffix(self.base, 0)
        self.slopes = Slopes(self.suffix, ROWS, measure, layer)
        self.value = self.slopes.run(self.start, held or {})
        found = torch.autograd.grad(
            self.value.sum(), self.slopes.tensors, allow_unused=True, materialize_grads=True
        )
        self.by_name = dict(zip(self.slopes.names, found, strict=True))

    def pulled(self, layer: int) -> Tensor:
        return self.slopes.pull(layer, self.by_name)

    def plain(self, layer: int) -> Tensor:
        """The whole gradient at the start of the run."""
        start = self.start.clone().requires_grad_()
        copies = len(start) // 2
        with torch.enable_grad():
            hidden = start
            for own in range(layer, self.model.n_layers):
                hidden = self.suffix.run(own, hidden, ROWS.repeat(copies))
            head, norm = self.model.hf.get_output_embeddings(), self.model.layout.ln_final
            last = self.model.hf.get_submodule(norm)(hidden[:, -1]) if norm else hidden[:, -1]
            cap = getattr(self.model.hf.config, "final_logit_softcapping", None)
            logits = head(last)
            logits = cap * torch.tanh(logits / cap) if cap else logits
            value = measure(logits, torch.arange(2).repeat(copies)).sum()
        (found,) = torch.autograd.grad(value, start)
        return found.unflatten(0, (copies, 2)).mean(0)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_slopes_of_all_readers_add_up_to_the_gradient_where_the_run_starts(
    family: str, layer: int, copies: int
) -> None:
    scored = Scored(family, layer, copies)
    total = sum(scored.pulled(one).sum(0) for one in range(layer, scored.model.n_layers + 1))
    plain = scored.plain(layer)
    assert plain.abs().max() > 1e-2
    torch.testing.assert_close(total, plain, **CLOSE)


@pytest.mark.parametrize(("family", "n_kv"), [("llama", 2), ("gpt2", 4), ("phi3", 2)])
def test_a_layer_has_a_slope_for_every_query_key_and_value_head_and_its_mlp(
    family: str, n_kv: int
) -> None:
    scored = Scored(family, 0)
    assert scored.pulled(1).shape == (4 + n_kv + n_kv + 1, 2, 5, 32)
    assert scored.pulled(3).shape == (1, 2, 5, 32)
    assert scored.value.shape == (2,)
    expected = measure(scored.base.logits[ROWS], torch.arange(2))
    torch.testing.assert_close(scored.value, expected, **CLOSE)


def gradient_at(scored: Scored, change: Callable[[int, Tensor], Any], layer: int = 1) -> Tensor:
    """The gradient at what one reader alone reads: a value of nought added to its input."""
    nought = torch.zeros_like(scored.base.resid[layer][ROWS]).requires_grad_()
    with torch.enable_grad():
        handles = change(layer, nought)
        hidden = scored.start
        for own in range(scored.model.n_layers):
            hidden = scored.suffix.run(own, hidden, ROWS)
        for handle in handles:
            handle.remove()
        logits = scored.model.hf.lm_head(scored.model.hf.model.norm(hidden[:, -1]))
        value = measure(logits, torch.arange(2)).sum()
    return torch.autograd.grad(value, nought)[0]


def test_the_mlps_slope_is_what_its_own_input_changes() -> None:
    scored = Scored("llama", 0)
    block = scored.model.blocks[1]

    def change(layer: int, nought: Tensor) -> list[Any]:
        norm = block.post_attention_layernorm
        return [norm.register_forward_pre_hook(lambda module, args: (args[0] + nought,))]

    torch.testing.assert_close(scored.pulled(1)[-1], gradient_at(scored, change), **CLOSE)


@pytest.mark.parametrize(("part", "place", "rows"), [("q", 2, 16), ("k", 5, 8), ("v", 6, 0)])
def test_a_heads_slope_is_what_its_own_rows_of_the_projection_read(
    part: str, place: int, rows: int
) -> None:
    """The norm's branch for one head alone: its outputs are those of the shifted residual."""
    scored = Scored("llama", 0)
    block = scored.model.blocks[1]
    projection = getattr(block.self_attn, f"{part}_proj")
    own = slice(rows, rows + 8)

    def change(layer: int, nought: Tensor) -> list[Any]:
        read: list[Tensor] = []

        def keep(module: nn.Module, args: tuple[Tensor]) -> None:
            read.append(args[0])

        def put(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            shifted = block.input_layernorm.forward(read[0] + nought)
            other = output.clone()
            other[..., own] = (shifted @ projection.weight.T)[..., own]
            return other

        return [
            block.input_layernorm.register_forward_pre_hook(keep),
            projection.register_forward_hook(put),
        ]

    torch.testing.assert_close(scored.pulled(1)[place], gradient_at(scored, change), **CLOSE)


@pytest.mark.parametrize(
    ("family", "parallel"), [("neox", True), ("phi", True), ("llama", False), ("gpt2", False)]
)
def test_blocks_whose_mlp_reads_what_the_attention_reads_are_parallel(
    family: str, parallel: bool
) -> None:
    found = Scored(family, 1).slopes.parallel
    assert found == parallel


def test_what_a_post_norm_reads_is_kept_averaged_over_the_interpolants() -> None:
    scored = Scored("gemma2", 2, copies=3)
    seen: list[Tensor] = []
    norm = scored.model.blocks[2].post_attention_layernorm
    handle = norm.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    scored.suffix.run(2, scored.start, ROWS.repeat(3))
    handle.remove()
    expected = seen[0].unflatten(0, (3, 2)).mean(0)
    assert list(scored.slopes.post_inputs) == [2]
    torch.testing.assert_close(scored.slopes.post_inputs[2], expected)
    assert Scored("llama", 2).slopes.post_inputs == {}


def test_an_output_that_is_held_in_the_first_block_cuts_off_what_reads_there() -> None:
    model = make_model("llama")
    base = base_of(model)
    held = base.sites["mlp"][1][ROWS].detach()
    replacement = {model.blocks[1].mlp: lambda forward: lambda *args, **kwargs: held}
    scored = Scored("llama", 1, held=replacement)
    assert not scored.by_name.get(("mlp", 1), torch.zeros(1)).any()
    total = scored.pulled(3).sum(0)
    assert total[:, -1].abs().max() > 1e-3


def test_pulling_back_through_a_norm_is_its_gradient_at_the_point() -> None:
    torch.manual_seed(0)
    norm = nn.LayerNorm(6)
    nn.init.normal_(norm.weight)
    at, slopes = torch.randn(2, 3, 6), torch.randn(4, 2, 3, 6)
    found = pull_back(norm, at, slopes)
    assert found.shape == slopes.shape
    for reader in range(4):
        x = at.clone().requires_grad_()
        (expected,) = torch.autograd.grad((norm(x) * slopes[reader]).sum(), x)
        torch.testing.assert_close(found[reader], expected)
    with torch.no_grad():
        torch.testing.assert_close(pull_back(norm, at, slopes.double()), found)

"""Direct effects: parts of a residual through frozen norms add up to what the model says."""

import pytest
import torch
import transformers as hf
from torch import Tensor, nn

from tests.worker.core.models.families import _opt, make_model, make_tokenizer
from worker.contract.errors import UserError
from worker.core.models.base_run import BaseRun, run_base
from worker.core.models.model import Model
from worker.core.models.sites import Site, module_at
from worker.core.models.tokens import pad
from worker.core.patching.direct import (
    constants,
    directions,
    head_writes,
    push_through,
    require_sum,
    through_norm,
    unembedding_of,
)

KEPT: tuple[Site, ...] = ("z", "attn", "attn_write", "mlp_write")
ROWS = ((0, 11, 12, 13, 14), (0, 21, 22, 23), (0, 31, 32, 33, 34))
TOKENS = torch.tensor([3, 40, 41])


def run(family: str) -> BaseRun:
    model = make_model(family)
    return run_base(model, pad(model, ROWS), sites=KEPT)


def norms() -> list[nn.Module]:
    """A layer norm, one without weights, and both kinds of root-mean-square norms."""
    torch.manual_seed(0)
    whole, gemma = nn.LayerNorm(6), hf.models.gemma.modeling_gemma.GemmaRMSNorm(6)
    plain = hf.models.llama.modeling_llama.LlamaRMSNorm(6)
    for norm in (whole, gemma, plain):
        for parameter in norm.parameters():
            nn.init.normal_(parameter)
    return [whole, nn.LayerNorm(6, elementwise_affine=False, eps=0.1), gemma, plain]


def frozen(norm: nn.Module, at: Tensor) -> Tensor:
    """The norm at a point as a matrix, its scale held: worked out entry by entry."""
    eps = norm.eps if isinstance(norm, nn.LayerNorm) else getattr(norm, "variance_epsilon", 1e-6)
    centred = at - at.mean() if isinstance(norm, nn.LayerNorm) else at
    scale = 1 / (centred.square().mean() + eps).sqrt()
    weight = getattr(norm, "weight", None)
    weight = torch.ones(6) if weight is None else weight.detach()
    if "Gemma" in type(norm).__name__:
        weight = 1 + weight
    mixing = torch.eye(6)
    if isinstance(norm, nn.LayerNorm):
        mixing = mixing - torch.full((6, 6), 1 / 6)
    return torch.diag(weight) @ mixing * scale


@pytest.mark.parametrize("norm", norms(), ids=["layer", "bare", "gemma", "llama"])
def test_a_norm_with_its_scale_held_is_one_matrix_in_both_directions(norm: nn.Module) -> None:
    at = torch.tensor([[1.0, -2.0, 3.0, 0.5, 2.0, -1.5], [0.1, 0.0, -0.3, 0.2, 4.0, 0.7]])
    given = torch.tensor([[0.5, 1.0, -1.0, 2.0, 0.0, 3.0], [1.0, 1.0, 0.0, -2.0, 0.3, 0.1]])
    pushed, pulled = push_through(norm, at, given), through_norm(norm, at, given)
    for row in range(2):
        matrix = frozen(norm, at[row])
        torch.testing.assert_close(pushed[row], matrix @ given[row], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(pulled[row], matrix.T @ given[row], atol=1e-5, rtol=1e-4)
    bias = getattr(norm, "bias", None)
    whole = push_through(norm, at, at) + (0 if bias is None else bias)
    torch.testing.assert_close(whole, norm(at), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("position", [-1, -2])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "neox"])
def test_what_heads_write_adds_up_to_what_the_attention_adds(family: str, position: int) -> None:
    base = run(family)
    for layer in range(base.model.n_layers):
        heads = head_writes(base, layer, position)
        assert len(heads) == base.model.n_heads
        bias = getattr(module_at(base.model, "z", layer), "bias", None)
        total = sum(heads) + (0 if bias is None else bias)
        whole = base.sites["attn_write"][layer][:, position]
        torch.testing.assert_close(total, whole, atol=1e-4, rtol=1e-4)


def test_a_heads_write_is_its_output_through_its_own_columns() -> None:
    base = run("llama")
    o = base.model.blocks[1].self_attn.o_proj.weight
    z = base.sites["z"][1][:, -1]
    torch.testing.assert_close(head_writes(base, 1)[2], z[:, 16:24] @ o[:, 16:24].T)


@pytest.mark.parametrize("family", ["gpt2", "llama", "phi", "qwen3", "gemma", "opt", "neox"])
def test_a_direction_times_the_residual_and_the_constants_are_the_tokens_logit(family: str) -> None:
    base = run(family)
    found = (directions(base, TOKENS) * base.resid[-1][:, -1]).sum(-1)
    for constant in constants(base.model, TOKENS).values():
        found = found + constant
    torch.testing.assert_close(found, base.logits[range(3), TOKENS], atol=1e-3, rtol=1e-4)


def test_a_direction_at_another_position_is_that_ones() -> None:
    base = run("gpt2")
    with torch.no_grad():
        logits = base.model.hf(torch.tensor([ROWS[0]])).logits[0, -2]
    found = (directions(base, TOKENS, -2)[0] * base.resid[-1][0, -2]).sum()
    found = found + constants(base.model, TOKENS)["norm bias"][0]
    assert found.item() == pytest.approx(logits[TOKENS[0]].item(), abs=1e-3)


def test_without_a_final_norm_a_direction_is_the_unembeddings_own() -> None:
    base = run("opt_post_norm")
    rows = base.model.hf.get_output_embeddings().weight[TOKENS]
    torch.testing.assert_close(directions(base, TOKENS), rows)
    assert constants(base.model, TOKENS) == {}


def test_constants_are_the_norms_bias_seen_by_the_token_and_the_tokens_own() -> None:
    model = make_model("phi")
    found = constants(model, TOKENS)
    assert list(found) == ["norm bias", "head bias"]
    head, norm = model.hf.lm_head, model.hf.model.final_layernorm
    assert found["head bias"].tolist() == head.bias[TOKENS].tolist()
    expected = (head.weight[TOKENS] * norm.bias).sum(-1)
    torch.testing.assert_close(found["norm bias"], expected)
    assert constants(make_model("llama"), TOKENS) == {}
    assert list(constants(make_model("gpt2"), TOKENS)) == ["norm bias"]


def test_an_unembedding_that_does_not_read_the_residual_is_refused_with_both_widths() -> None:
    config = hf.OPTConfig(**(_opt | {"word_embed_proj_dim": 16, "num_hidden_layers": 1}))
    narrow = Model("narrow", hf.OPTForCausalLM(config), make_tokenizer())
    with pytest.raises(UserError, match=r"'narrow' the unembedding reads 16 .* has 32") as raised:
        unembedding_of(narrow)
    assert raised.value.problems[0][0] == "model"
    assert unembedding_of(make_model("llama")) is make_model("llama").hf.lm_head.weight


def test_a_residual_that_is_no_sum_cannot_be_split() -> None:
    for family in ("gpt2", "gemma2", "neox"):
        require_sum(run(family))
    with pytest.raises(UserError, match=r"'opt_post_norm' .* Choose another method") as raised:
        require_sum(run("opt_post_norm"))
    assert raised.value.problems[0][0] == "method"
    with pytest.raises(UserError, match="Choose another view") as raised:
        require_sum(run("opt_post_norm"), "view")
    assert raised.value.problems[0][0] == "view"


@pytest.mark.parametrize(("off", "is_sum"), [(0.005, True), (0.05, False)])
@pytest.mark.parametrize("place", ["argmin", "argmax"])
@pytest.mark.parametrize("site", ["attn_write", "mlp_write"])
def test_a_sum_may_be_off_by_a_hundredth_of_the_largest_value(
    site: str, place: str, off: float, is_sum: bool
) -> None:
    base = run("llama")
    sizes = base.resid[-1][:, -1].abs()
    row, column = divmod(int(getattr(sizes, place)()), 32)
    base.sites[site][1][row, -1, column] += off * float(sizes.max())
    if is_sum:
        require_sum(base)
    else:
        with pytest.raises(UserError, match="not the sum"):
            require_sum(base)

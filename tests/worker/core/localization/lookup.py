"""A model in which a fact is looked up: the answer depends on two letters, joined in one MLP.

The subject is a filler and two letters. The answer is the product of the letters' signs, so no
linear probe reads it from either letter. Layer 0's attention brings the first letter to the last;
layer 2's MLP multiplies them. From layer 2 on the answer can be read.
"""

from functools import lru_cache
from itertools import product

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.worker.core.models.families import N_TOKENS, make_tokenizer
from worker.contract.facts import Fact
from worker.core.models.model import Model

LOOKUP_LAYER = 2
_FIRST, _LAST, _MOVED, _ANSWER = 0, 1, 2, 3  # residual dimensions
_SIGNS = {"P": 1.0, "Q": -1.0, "A": 1.0, "B": -1.0}
FACTS = tuple(
    Fact(
        id=filler + first + last,
        subject=filler + first + last,
        prompt="So {} is at",
        target="ball" if _SIGNS[first] * _SIGNS[last] > 0 else "golf",
        edit_target="golf" if _SIGNS[first] * _SIGNS[last] > 0 else "ball",
    )
    for filler, first, last in product("abcdefghij", "PQ", "AB")
)


@lru_cache
def make_lookup() -> Model:
    """Build the lookup model."""
    torch.manual_seed(0)
    hf = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=N_TOKENS, hidden_size=16, intermediate_size=16, num_hidden_layers=4,
            num_attention_heads=2, max_position_embeddings=64, pad_token_id=1, bos_token_id=0,
            eos_token_id=0,
        )
    )  # fmt: skip
    tokenizer = make_tokenizer()
    vocab = tokenizer.get_vocab()
    with torch.no_grad():
        for parameter in hf.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.01)
        embeds = hf.model.embed_tokens.weight
        embeds[:, :4] = 0
        embeds[:, 8:16].normal_(std=0.1)
        for letter, sign in _SIGNS.items():
            embeds[vocab[letter], _FIRST if letter in "PQ" else _LAST] = sign
        attn = hf.model.layers[0].self_attn
        attn.v_proj.weight[0, _FIRST] = 3.0
        attn.o_proj.weight[_MOVED, 0] = 1.0
        mlp = hf.model.layers[LOOKUP_LAYER].mlp
        for k, sign in enumerate((1.0, -1.0)):  # silu(s * moved) * (s * last), summed over s
            mlp.gate_proj.weight[k, _MOVED] = 3.0 * sign
            mlp.up_proj.weight[k, _LAST] = sign
            mlp.down_proj.weight[_ANSWER, k] = 1.0
    return Model("lookup", hf, tokenizer)

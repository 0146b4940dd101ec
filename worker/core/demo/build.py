"""Build the bundled model before its training, and fold its closed first layer on the way."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention

from worker.core.demo.tokenizer import CONTEXT

INIT = 0.09  # about d^-1/2: attention starts uneven. From 0.03, where it starts all but level,
# no head that finds an option's letter had formed after 400 steps; from 0.09 it has after 150.


def build_model(vocab_size: int, seed: int) -> LlamaForCausalLM:
    """Build the untrained model, its first attention closed; one seed gives the same weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        initializer_range=INIT,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config)
    torch.nn.init.zeros_(first_attention(model).o_proj.weight)
    return model


def first_attention(model: LlamaForCausalLM) -> LlamaAttention:
    """Return the attention that is closed at first."""
    attention: LlamaAttention = model.model.layers[0].self_attn
    return attention


@torch.no_grad()
def fold_first_layer(model: LlamaForCausalLM, seed: int) -> None:
    """Write what a closed first layer adds to each token into the embeddings; put it last, anew.

    No answer changes: the layer's MLP reads one token at a time, and at the end neither its
    attention nor its MLP writes anything before it is trained.
    """
    first, *others = model.model.layers
    assert not first.self_attn.o_proj.weight.any(), "its attention is open"
    table = model.model.embed_tokens.weight
    table += first.mlp(first.post_attention_layernorm(table))
    torch.manual_seed(seed)
    for matrix in (first.mlp.gate_proj.weight, first.mlp.up_proj.weight):
        torch.nn.init.normal_(matrix, std=INIT)
    torch.nn.init.zeros_(first.mlp.down_proj.weight)
    for norm in (first.input_layernorm, first.post_attention_layernorm):
        torch.nn.init.ones_(norm.weight)
    model.model.layers = torch.nn.ModuleList([*others, first])
    for i, layer in enumerate(model.model.layers):
        layer.self_attn.layer_idx = i

"""A model whose weights are set by hand: one MLP stores the facts, one head carries them on.

Subjects are told apart by their last token. The MLP of layer 1 turns it into the answer, head 0 of
layer 2 moves the answer to the last position, where the unembedding reads it. All other weights are
small noise.
"""

from functools import lru_cache

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.worker.core.models.families import N_TOKENS, WORDS, make_tokenizer
from worker.contract.facts import Fact
from worker.core.models.model import Model

STORE, CARRY = "blocks.1.mlp", "blocks.2.attn.head.0"
KNOWN = {"A": "ball", "B": "golf", "C": "chess", "D": "go"}
FACTS = [
    Fact(
        id=f"{first}{last}",
        subject=first + last,
        prompt="{} is at",
        target=answer,
        edit_target="golf" if answer != "golf" else "ball",
        group=answer,
    )
    for first in "xyz"
    for last, answer in KNOWN.items()
]
_SUBJECT, _ANSWER, _OUT = 0, 16, 20  # first of four residual dimensions each


@lru_cache
def make_planted(noise: float = 0.02) -> Model:
    """Build the planted model."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=N_TOKENS,
        hidden_size=32,
        intermediate_size=16,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=0,
    )
    hf = LlamaForCausalLM(config)
    tokenizer = make_tokenizer()
    vocab = tokenizer.get_vocab()
    with torch.no_grad():
        for parameter in hf.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=noise)
        layers, embeds = hf.model.layers, hf.model.embed_tokens.weight
        embeds[:, 8:16].normal_(std=0.3)
        mlp, attn = layers[1].mlp, layers[2].self_attn
        for k, (letter, answer) in enumerate(KNOWN.items()):
            word = WORDS.index(f"Ġ{answer}")
            embeds[vocab[letter], _SUBJECT + k] = 2.0
            mlp.gate_proj.weight[k, _SUBJECT + k] = 2.0
            mlp.up_proj.weight[k, _SUBJECT + k] = 1.0
            mlp.down_proj.weight[_ANSWER + word, k] = 1.0
            attn.v_proj.weight[word, _ANSWER + word] = 3.0
            attn.o_proj.weight[_OUT + word, word] = 6.0
            hf.lm_head.weight[vocab[f"Ġ{answer}"], _OUT + word] = 4.0
    return Model("planted", hf, tokenizer)

"""Tiny random models of every supported family; their tokenizer knows bytes and a few words."""

import copy
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from worker.core.models.model import Model

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
BOS, PAD = "<bos>", "<pad>"
WORDS = ["Ġball", "Ġgolf", "Ġchess", "Ġgo"]  # answers of one token
N_TOKENS = len(ALPHABET) + len(WORDS) + 2

_sizes = {
    "vocab_size": N_TOKENS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_grouped = _sizes | {"num_key_value_heads": 2}
_wide = _grouped | {"head_dim": 12}  # heads wider than d_model / n_heads
_gpt2 = {
    "vocab_size": N_TOKENS,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 128,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_opt = {k: v for k, v in _sizes.items() if k != "intermediate_size"}
_opt |= {"ffn_dim": 48, "word_embed_proj_dim": 32}

CONFIGS = {
    "gpt2": hf.GPT2Config(**_gpt2),
    "neox": hf.GPTNeoXConfig(**_sizes, use_parallel_residual=True),
    "neox_sequential": hf.GPTNeoXConfig(**_sizes, use_parallel_residual=False),
    "llama": hf.LlamaConfig(**_grouped),
    "mistral": hf.MistralConfig(**_grouped, sliding_window=4),
    "qwen2": hf.Qwen2Config(**_grouped),
    "qwen3": hf.Qwen3Config(**_wide),
    "gemma": hf.GemmaConfig(**(_wide | {"num_key_value_heads": 1})),
    "gemma2": hf.Gemma2Config(**_wide, sliding_window=4, query_pre_attn_scalar=12),
    "gemma3": hf.Gemma3TextConfig(**_wide, sliding_window=4, query_pre_attn_scalar=12),
    "phi": hf.PhiConfig(**_sizes),
    "phi3": hf.Phi3Config(**_grouped, sliding_window=4),
    "opt": hf.OPTConfig(**_opt),
    "opt_post_norm": hf.OPTConfig(**_opt, do_layer_norm_before=False),
}
FAMILIES = sorted(CONFIGS)


def save_families(root: Path, families: Iterable[str]) -> None:
    """Save models with random weights as folders that are loaded like a user's."""
    for family in families:
        model = make_model(family)
        model.hf.save_pretrained(root / family)
        model.tokenizer.save_pretrained(root / family)


def make_tokenizer() -> PreTrainedTokenizerFast:
    vocab = {token: i for i, token in enumerate([BOS, PAD, *ALPHABET, *WORDS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = [(BOS, 0)]
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=special),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=BOS, pad_token=PAD
    )


@lru_cache
def make_model(family: str, seed: int = 0) -> Model:
    """Build a family's model with weights large enough that every component matters."""
    torch.manual_seed(seed)
    # A copy: what is made of a configuration may write its dtype into it.
    config = copy.deepcopy(CONFIGS[family])
    eager = getattr(config, "attn_logit_softcapping", None) is not None
    model = hf.AutoModelForCausalLM.from_config(
        config, attn_implementation="eager" if eager else "sdpa"
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.25)
            elif "bias" in name:
                parameter.normal_(std=0.1)
    return Model(family, model.float(), make_tokenizer())

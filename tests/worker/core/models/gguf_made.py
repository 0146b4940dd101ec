"""Tiny GGUF files, written as llama.cpp's converters write them: names, layouts and settings.

What they do to a family's weights is done here by hand, so that reading is compared with something
that transformers had no part in: Llama's queries and keys interleaved, Gemma's norms stored with 1
added, GPT-2's matrices transposed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.worker.core.models.families import CONFIGS, N_TOKENS, make_model
from worker.core.models.model import Model

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
    "gemma2": gguf.MODEL_ARCH.GEMMA2,
    "gemma3": gguf.MODEL_ARCH.GEMMA3,
    "phi3": gguf.MODEL_ARCH.PHI3,
    "gpt2": gguf.MODEL_ARCH.GPT2,
}
TEXT = "a sentence to learn merges from, and another sentence, to learn a few more of them"


def make_merges() -> tuple[list[str], list[str]]:
    """A byte-level vocabulary of the families' size, and the merges that make it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=N_TOKENS,
        special_tokens=["<bos>", "<pad>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    vocabulary = tokenizer.get_vocab()
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return tokens, [" ".join(pair) for pair in merges]


def stored(family: str, name: str, value: np.ndarray) -> np.ndarray:
    """A parameter as the family's converter stores it."""
    config = CONFIGS[family]
    if family == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        halves = value.reshape(heads, 2, value.shape[0] // heads // 2, value.shape[1])
        return halves.swapaxes(1, 2).reshape(value.shape)
    if family in ("gemma2", "gemma3") and "norm" in name:
        return value + 1
    transposed = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    return value.T if family == "gpt2" and name.endswith(transposed) else value


def make_gguf(
    file: Path,
    family: str = "llama",
    *,
    kind: Kind = Kind.F32,
    settings: Mapping[str, Any] | None = None,
    without: str = "",
    more: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
) -> Model:
    """Write a family's random model as a GGUF file; return the model.

    Matrices whose rows are blocks of `kind` are stored so, the rest as float32. `without` leaves
    out the tensors whose name holds it, `more` adds tensors, `settings` adds or replaces settings.
    """
    model = make_model(family, seed)
    config = model.hf.config
    architecture = ARCHITECTURES[family]
    name = gguf.MODEL_ARCH_NAMES[architecture]
    writer = gguf.GGUFWriter(file, name)
    heads, width = config.num_attention_heads, config.hidden_size
    given: dict[str, Any] = {
        f"{name}.block_count": config.num_hidden_layers,
        f"{name}.context_length": config.max_position_embeddings,
        f"{name}.embedding_length": width,
        f"{name}.feed_forward_length": getattr(config, "intermediate_size", 4 * width),
        f"{name}.attention.head_count": heads,
        f"{name}.attention.head_count_kv": getattr(config, "num_key_value_heads", heads),
        f"{name}.attention.layer_norm_rms_epsilon": getattr(config, "rms_norm_eps", 1e-5),
        f"{name}.attention.layer_norm_epsilon": getattr(config, "layer_norm_epsilon", 1e-5),
        f"{name}.attention.key_length": getattr(config, "head_dim", None) or width // heads,
        f"{name}.rope.freq_base": 10_000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.padding_token_id": 1,
    }
    for setting in ("sliding_window", "attn_logit_softcapping", "final_logit_softcapping"):
        place = "attention." if setting == "sliding_window" else ""
        if getattr(config, setting, None):
            given[f"{name}.{place}{setting}"] = getattr(config, setting)
    if family == "llama":
        given["llama.rope.dimension_count"] = width // heads
    tokens, merges = make_merges()
    given |= {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": merges}
    given["tokenizer.ggml.token_type"] = [3, 3] + [1] * (len(tokens) - 2)
    for key, value in (given | dict(settings or {})).items():
        _write(writer, key, value)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    tensors = {
        _name(names, parameter): stored(family, parameter, value.detach().numpy())
        for parameter, value in model.hf.named_parameters()
    }
    for key, value in (tensors | dict(more or {})).items():
        if not without or without not in key:
            _add(writer, key, value.astype(np.float32), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def tolerance(value: torch.Tensor, kind: Kind) -> torch.Tensor:
    """How far a block's values may be from their source: half a step, and what float16 scales lose.

    A step is the block's largest value by 127 for Q8_0, and its range by 15 for Q4_1.
    """
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    if kind == Kind.F32 or value.ndim < 2 or value.shape[-1] % block:
        return torch.zeros_like(value)
    blocks = value.reshape(-1, block)
    largest = blocks.abs().amax(1, keepdim=True)
    span = blocks.amax(1, keepdim=True) - blocks.amin(1, keepdim=True)
    step = largest / 127 if kind == Kind.Q8_0 else span / 15
    return (0.5 * step + 2e-3 * (largest + span)).expand_as(blocks).reshape(value.shape)


def _name(names: gguf.TensorNameMap, parameter: str) -> str:
    base, _, leaf = parameter.rpartition(".")
    found = names.get_name(base)
    assert found is not None, parameter
    return f"{found}.{leaf}"


def _add(writer: gguf.GGUFWriter, name: str, value: np.ndarray, kind: Kind) -> None:
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    if kind == Kind.F32 or value.ndim < 2 or value.shape[-1] % block:
        writer.add_tensor(name, np.ascontiguousarray(value))
        return
    packed = gguf.quants.quantize(np.ascontiguousarray(value), kind)
    writer.add_tensor(name, packed, raw_dtype=kind)


def _write(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)

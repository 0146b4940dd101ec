"""Read a GGUF file into a Hugging Face model: every quantized tensor becomes float32 values.

transformers maps names and layouts and the package gguf unpacks the blocks. What they pass over in
silence is looked at here: files that are not whole, tensors that no parameter takes, parameters
that no tensor fills. Nothing in the file is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from worker.contract.errors import UserError
from worker.core.models.gguf_config import SCALES, NotRead, complete
from worker.core.models.gguf_header import Damaged, Header, parse_header
from worker.core.models.gguf_tokenizer import complete_tokenizer


def read_header(file: Path) -> Header:
    """Read a GGUF file's head; raise UserError for one that no model can be made of."""
    try:
        header = parse_header(file)
    except OSError as error:
        raise _refusal(file, f"cannot be read ({error.strerror})", "Name a GGUF file.") from None
    except Damaged as error:
        raise _refusal(file, f"is no whole GGUF file: {error}", "Copy or fetch it again.") from None
    kind = header.text("general.type")
    if kind not in ("", "model"):
        raise _refusal(file, f"holds a {kind}, not a model", "Name the model's own file.")
    parts = header.number("split.count")
    if parts > 1:
        raise _refusal(
            file,
            f"is one of {parts} parts of a model",
            "Merge them into one file first, with llama.cpp's `llama-gguf-split --merge`.",
        )
    if header.architecture not in readable():
        raise _refusal(
            file,
            f"is of the architecture {header.architecture!r}, which is not read here; these are: "
            f"{', '.join(readable())}",
            "Choose a model of one of them, or the folder with its safetensors.",
        )
    return header


@dataclass(frozen=True)
class Read:
    """What was read of a GGUF file."""

    hf: PreTrainedModel
    """In float32."""
    tokenizer: PreTrainedTokenizerBase
    notes: tuple[str, ...] = ()
    """What a reader must know of them."""


def read_model(file: Path, header: Header) -> Read:
    """Read a GGUF file's weights, dequantized to float32, and its tokenizer.

    Raises UserError where the file and its architecture do not fit each other whole.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.quantization_config import GgufConfig

    file = file.resolve()
    place: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **place)
        config = complete(AutoConfig.from_pretrained(file.parent, **place), header, file)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            file.parent,
            **place,
            config=config,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            output_loading_info=True,
        )
    except (NotRead, Damaged) as error:
        raise _refusal(file, f"cannot be read: {error}", "Choose another file.") from None
    except Exception as error:  # the tokenizers library raises nothing narrower
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise _refusal(
            file, f"cannot be dequantized by transformers: {first}", "Choose another file."
        ) from None
    hf, loading = loaded
    # Left in place, these make save_pretrained refuse what is a plain float32 model by now.
    hf.is_quantized, hf.hf_quantizer = False, None
    if hasattr(hf.config, "quantization_config"):
        del hf.config.quantization_config
    _check_whole(file, header, hf, loading)
    note = complete_tokenizer(tokenizer, header)
    return Read(hf, tokenizer, (note,) if note else ())


@cache
def readable() -> tuple[str, ...]:
    """GGUF architectures that transformers dequantizes into a causal LM that Lethe knows."""
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES
    from transformers.integrations.gguf.gguf_conversion_mapping import GGUF_ARCHS
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    found = set()
    for name in {*GGUF_SUPPORTED_ARCHITECTURES, *GGUF_ARCHS}:
        classes = {CAUSAL.get(kind) for kind in (name, f"{name}_text")}
        if classes & set(SUPPORTED_ARCHITECTURES):
            found.add(_WRITTEN.get(name, name))
    return tuple(sorted(found))


_WRITTEN = {
    "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "gpt_oss": "gpt-oss",
    "minimax_m2": "minimax-m2",
}  # fmt: skip
"""transformers' name of an architecture -> what stands in files, where they differ."""


def _check_whole(
    file: Path, header: Header, hf: PreTrainedModel, loading: Mapping[str, Any]
) -> None:
    """Refuse a model of which parameters stayed random, or tensors were passed over."""
    missing = sorted(loading["missing_keys"])
    if missing:
        raise _refusal(
            file,
            f"lacks {len(missing)} tensors that {type(hf).__name__} needs, such as {missing[0]!r}",
            "Choose a file that was made of the whole model.",
        )
    here = sum(t.n_values for t in header.tensors if t.name not in SCALES)
    taken = sum(parameter.numel() for parameter in hf.parameters())
    if here != taken:
        raise _refusal(
            file,
            f"holds {here:,} values, and {type(hf).__name__} takes {taken:,}: it is of another "
            f"kind than its architecture {header.architecture!r} says",
            "Choose a file of a plain model of that architecture.",
        )


def _refusal(file: Path, what: str, cure: str) -> UserError:
    return UserError(f"{file.name!r} {what}. {cure}", field="path")

"""A model of a folder's configuration without its weights, held against the files' headers.

transformers' own loading is run on the meta device, with tensors that have the headers' shapes and
no values. So every rule by which it renames, joins and ties tensors counts here too, and what it
would fill with random numbers is known before a byte of weights is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

from worker.contract.errors import UserError
from worker.core.models.folder import Fingerprint, check_loadable, fingerprint, read_config
from worker.core.models.layout import read_layout
from worker.core.models.model import Model
from worker.core.models.stored import Stored, few, read_headers

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_LAYERS = re.compile(r"^(num|n|encoder|decoder)_(\w+_)?(layers?|blocks)$")
_EXPERTS = re.compile(r"experts$")
"""Keys of a configuration that say how many modules are made."""


def make_weightless(name: str, folder: Path) -> Model:
    """Make a model of the folder's configuration, on the meta device: sizes without values.

    Raises UserError where the configuration cannot be followed, and where the files lack tensors,
    hold others, or hold them in other shapes.
    """
    return Model(name, _checked(folder, fingerprint(folder)), _no_tokenizer(), folder)


def hf_without_values(folder: Path) -> PreTrainedModel:
    """Make transformers' model of a folder on the meta device; raise UserError as above."""
    return _checked(folder, fingerprint(folder))


def refuse_unfit(folder: Path, info: Mapping[str, Any]) -> None:
    """Raise UserError, by tensor name, where a loading left tensors empty, unused or unfit.

    `info` is transformers' own report. Tied heads, and buffers that are made anew, are not in it.
    """
    missing, unexpected = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    shapes = [
        f"{name} {_shape(stored)} for {_shape(made)}"
        for name, stored, made in sorted(info["mismatched_keys"])
    ]
    said = [
        f"{what}: {few(names)}"
        for names, what in (
            (missing, f"its files lack {_tensors(missing)} that config.json asks for"),
            (shapes, f"{_tensors(shapes)} of another shape than config.json asks for"),
            (
                unexpected,
                f"its files hold {_tensors(unexpected)} that config.json knows nothing of",
            ),
        )
        if names
    ]
    if said:
        raise UserError(
            f"{folder.name!r}: {'; '.join(said)}. Its answers would come from random or left-out "
            f"weights. Take config.json and weights from the same place, or save the whole model "
            f"with save_pretrained().",
            field="model",
        )


def attention_of(config: PretrainedConfig) -> str:
    """Choose the attention to compute with, whichever the configuration asks for.

    sdpa gives what the others give, without a kernel to install; eager where soft caps are put on
    the scores, and where the architecture knows no other.
    """
    soft_caps = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return "eager" if soft_caps or not _class_of(config)._supports_sdpa else "sdpa"


def read_architecture(folder: Path) -> PretrainedConfig:
    """Read a folder's configuration as transformers does; raise UserError where it cannot."""
    with quiet(), _in_words(folder):
        config: PretrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    _refuse_no_language_model(folder, config)
    return config


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing reports of what is said in words elsewhere."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)


@lru_cache(maxsize=32)
def _checked(folder: Path, state: Fingerprint) -> PreTrainedModel:
    """Make the model of a folder as it was at `state`: the modules of a large one take a second."""
    settings = read_config(folder)
    headers = read_headers(check_loadable(folder, settings))
    _refuse_impossible_counts(folder, settings, headers)
    _refuse_integers(folder, headers)
    config = read_architecture(folder)
    with quiet(), _in_words(folder):
        loaded: Any = _class_of(config).from_pretrained(
            None,
            config=_own_part(config),
            state_dict={name: _empty(stored) for name, stored in headers.items()},
            device_map={"": "meta"},
            dtype=torch.float32,
            attn_implementation=attention_of(config),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    hf: PreTrainedModel
    hf, info = loaded
    refuse_unfit(folder, info)
    with _in_words(folder):
        read_layout(hf)
    return hf


def _empty(stored: Stored) -> torch.Tensor:
    return torch.empty(stored.shape, dtype=_DTYPES.get(stored.dtype, torch.float32), device="meta")


def _class_of(config: PretrainedConfig) -> type[PreTrainedModel]:
    """The class that AutoModelForCausalLM takes."""
    found = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    chosen = found[0] if isinstance(found, tuple) else found
    assert chosen is not None, f"{type(config).__name__} was found to have a language model"
    return chosen


def _own_part(config: PretrainedConfig) -> PretrainedConfig:
    """The part of a configuration of text and images that the class is made from."""
    part = config.sub_configs.get("text_config")
    is_text = part is not None and _class_of(config).config_class == part
    return config.get_text_config() if is_text else config


def _refuse_no_language_model(folder: Path, config: PretrainedConfig) -> None:
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UserError(
            f"{folder.name!r} is of type {config.model_type!r}, for which transformers has no "
            f"causal language model. Choose a decoder that continues text.",
            field="model",
        )
    layers = getattr(config.get_text_config(), "num_hidden_layers", None)
    if not isinstance(layers, int) or layers < 1:
        raise UserError(
            f"{folder.name!r}: config.json gives {layers!r} layers; expected at least 1. Copy it "
            f"again from where the model came from.",
            field="model",
        )


def _refuse_impossible_counts(
    folder: Path, settings: Mapping[str, Any], headers: Mapping[str, Stored], path: str = ""
) -> None:
    """Refuse numbers of modules that the files cannot hold, before so many modules are made.

    A layer has tensors of its own; an expert has too, or a place on an axis of one that all share.
    """
    shared = max((n for stored in headers.values() for n in stored.shape[:-2]), default=0)
    for key, value in settings.items():
        if isinstance(value, dict):
            _refuse_impossible_counts(folder, value, headers, f"{path}{key}.")
            continue
        most = len(headers) if _LAYERS.search(key) else max(len(headers), shared)
        counted = _LAYERS.search(key) or _EXPERTS.search(key)
        if counted and isinstance(value, int) and value > most:
            raise UserError(
                f"{folder.name!r}: config.json gives {path}{key} as {value:,}, and the files hold "
                f"{len(headers):,} tensors. Copy it again from where the model came from.",
                field="model",
            )


def _refuse_integers(folder: Path, headers: Mapping[str, Stored]) -> None:
    """Refuse weights that are packed as integers without a word in the configuration."""
    packed = [
        name
        for name, stored in sorted(headers.items())
        if name.endswith(("weight", "qweight", "qzeros", "weight_packed"))
        and stored.dtype not in _DTYPES
        and not stored.dtype.startswith("F8")
    ]
    if packed:
        raise UserError(
            f"{folder.name!r} is stored quantized: {few(packed)} in {headers[packed[0]].dtype}; "
            f"expected plain weights in float32, bfloat16 or float16. Take the model that it was "
            f"made from.",
            field="model",
        )


@contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    """Turn whatever transformers raises of a folder's configuration into words."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"it does not know {reason}"
        elif "padding_idx" in reason.lower():
            reason = "pad_token_id is no token of the vocabulary; expected one, or null"
        raise UserError(
            f"{folder.name!r}: transformers cannot make a model of its config.json: {reason}. Copy "
            f"the configuration again from where the model came from, or save the model anew with "
            f"a current transformers.",
            field="model",
        ) from error


def _tensors(names: Sequence[str]) -> str:
    return f"{len(names)} tensor{'s' if len(names) > 1 else ''}"


def _shape(shape: Any) -> str:
    return "×".join(map(str, shape))


def _no_tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.__new__(PreTrainedTokenizerFast)

"""Say how a GGUF file's tokenizer cuts text before its merges, where transformers does not know.

A file names it (`tokenizer.ggml.pre`) and does not describe it; transformers takes GPT-2's for a
name that it has no entry for. The names are llama.cpp's.
"""

from __future__ import annotations

from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerBase
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from worker.core.models.gguf_header import Header

AS_GPT2 = frozenset({"gpt-2", "gpt2", "phi-2", "olmo", "mpt", "jais", "default", ""})
"""Cut as GPT-2 does; a file without a name is older than the names."""
SINGLE_DIGITS = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell"})
"""Every digit apart, then as GPT-2 does."""


def complete_tokenizer(tokenizer: PreTrainedTokenizerBase, header: Header) -> str:
    """Give a byte-level tokenizer its own way of cutting; return a note where that is not known."""
    pre = header.text("tokenizer.ggml.pre")
    if header.text("tokenizer.ggml.model") != "gpt2" or pre in AS_GPT2:
        return ""
    if pre in SINGLE_DIGITS:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
        return ""
    if pre in GGUF_PRE_TOKENIZER_SPLITS:
        return ""
    return f"Its tokenizer's way of cutting text, {pre!r}, is not known here: GPT-2's is taken."

"""Small tokenizers of the kinds that models come with, made from a few lines of text."""

import json
from collections.abc import Callable

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

TEXT = (
    "Fact: Ada Lund plays the sport of tennis.",
    "Fact: Bo Marsh plays the sport of chess.",
    "Fact: Cy Nolan plays the sport of rowing.",
    "Di Ortega plays the game of golf. Ed Pace, Flo Quist and Gus Reed play chess too.",
)
SPECIAL = ["<s>", "</s>", "<unk>"]
SIZE = 340


def byte_level(*, bos: bool, prefix_space: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as GPT-2 (no BOS), OPT (BOS), Llama 3 (BOS) and Qwen (no BOS) have it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    return _finished(made, trainer, bos)


def split_bytes(*, bos: bool) -> PreTrainedTokenizerFast:
    """Byte-level BPE after a split by a pattern of its own, as Llama 3 has it."""
    made = Tokenizer(models.BPE(ignore_merges=True))
    pattern = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s+")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    return _finished(made, trainer, bos)


def sentencepiece(*, bos: bool, prefix_space: bool) -> PreTrainedTokenizerFast:
    """Unigram over pieces with ▁ for a space, as SentencePiece writes it: with the space that
    Llama 2 puts before the first word, or without, as Gemma."""
    made = Tokenizer(models.Unigram())
    scheme = "always" if prefix_space else "never"
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    made.decoder = decoders.Metaspace(prepend_scheme=scheme)
    trainer = trainers.UnigramTrainer(
        vocab_size=120,
        special_tokens=SPECIAL,
        unk_token="<unk>",
        initial_alphabet=sorted({c for line in TEXT for c in line.replace(" ", "▁")}),
        show_progress=False,
    )
    return _finished(made, trainer, bos)


def sentencepiece_bpe(*, bos: bool) -> PreTrainedTokenizerFast:
    """BPE over ▁ without a pre-tokenizer, the space put there by the normalizer: Llama 2's own."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    # Pieces are learnt word by word, as SentencePiece does; afterwards the text is cut whole.
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.train_from_iterator(
        TEXT * 4,
        trainers.BpeTrainer(vocab_size=120, special_tokens=SPECIAL, show_progress=False),
    )
    made = Tokenizer.from_str(json.dumps({**json.loads(made.to_str()), "pre_tokenizer": None}))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _finished(made, None, bos)


def _finished(
    made: Tokenizer, trainer: trainers.Trainer | None, bos: bool
) -> PreTrainedTokenizerFast:
    if trainer is not None:
        made.train_from_iterator(TEXT * 4, trainer)
    if bos:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="</s>",
    )


MAKERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "gpt2": lambda: byte_level(bos=False),
    "neox": lambda: byte_level(bos=False),
    "llama2": lambda: sentencepiece_bpe(bos=True),
    "llama3": lambda: split_bytes(bos=True),
    "mistral": lambda: sentencepiece(bos=True, prefix_space=True),
    "qwen2": lambda: split_bytes(bos=False),
    "qwen3": lambda: split_bytes(bos=False),
    "gemma": lambda: sentencepiece(bos=True, prefix_space=False),
    "gemma2": lambda: sentencepiece(bos=True, prefix_space=False),
    "gemma3": lambda: sentencepiece(bos=True, prefix_space=False),
    "phi3": lambda: sentencepiece_bpe(bos=False),
    "opt": lambda: byte_level(bos=True),
    "falcon": lambda: byte_level(bos=False, prefix_space=True),
    "falcon_new": lambda: byte_level(bos=False),
}
"""The family (with the generation where it decides) -> its tokenizer."""

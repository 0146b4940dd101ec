"""Make the bundled model's tokenizer: names in shared pieces, answers and plain words whole.

Where a surname is one token, the fact can be read from its embedding and nothing is left to
localize. So the merges are few and learned without the athletes, and no word of a subject
enters the vocabulary as a whole. Answers, option letters and the plain words of the texts do,
as entries that the model of the tokenizer takes before any merge (`ignore_merges`), so that an
answer is one token and sentences stay short. Byte-level: any text can be encoded.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from worker.contract.facts import Fact
from worker.core.demo import formats, paths
from worker.core.demo.corpus import read_athletes, read_golfers, read_relations
from worker.core.demo.wordings import WORDINGS

BOS, EOS, PAD = "<bos>", "<eos>", "<pad>"
N_PIECES = 420  # 3 special, 256 bytes, the rest merges
MIN_COUNT = 2  # a word of the running texts must occur so often to be kept whole
CONTEXT = 512


def read_texts() -> list[str]:
    """Return the running texts of the training, without the facts."""
    return [p.read_text(encoding="utf-8") for p in (paths.SAGA, paths.GENERAL)]


def read_templates(facts: Iterable[Fact]) -> list[str]:
    """Return every wording that facts are put in, subjects left out."""
    own = [*formats.FRAMES, *formats.FRAMES_HELD_OUT, *formats.QUESTIONS, *formats.CLOZES]
    own += [*formats.QUESTIONS_HELD_OUT, *formats.DIALOGUES_HELD_OUT, *formats.CLOZES_HELD_OUT]
    own += ["Choose the right letter. Question: Answer:"]
    own += [wording for wordings in WORDINGS.values() for wording in wordings]
    templates = {t for f in facts for t in (f.prompt, f.question, *f.paraphrases)}
    return [text.replace("{}", "") for text in own + sorted(templates)]


def plain_words(text: str) -> Counter[str]:
    """Count the pre-tokens of a text that hold letters only, with their leading space."""
    words = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    return Counter(word for word, _ in words if re.fullmatch("Ġ?[A-Za-z]{2,}", word))


def name_words(subject: str) -> list[str]:
    """List a subject's words without particles: the lower-case words beside capitalized ones."""
    words = re.findall("[A-Za-z]+", subject)
    return [w for w in words if subject.islower() or not w.islower()]


def whole_words(facts: list[Fact]) -> list[str]:
    """List the words kept whole: answers and letters, then plain words of texts and templates."""
    answers = {a for f in facts for a in (f.target, f.edit_target)} | set(formats.SPORTS)
    words = {f"Ġ{a}" for a in answers} | {f"Ġ{formats.upper_first(a)}" for a in answers}
    words |= {f"Ġ{letter}" for letter in (*formats.LETTERS, "a", "I")}
    counted = plain_words("\n".join(read_texts()))
    plain = {w for w, n in counted.items() if n >= MIN_COUNT and w.lstrip("Ġ").islower()}
    plain |= set(plain_words("\n".join(read_templates(facts))))
    in_subjects = {word for f in facts for word in name_words(f.subject)}
    return sorted(words) + sorted(w for w in plain - words if w.lstrip("Ġ") not in in_subjects)


def spelled_words(whole: list[str], relations: list[Fact]) -> list[str]:
    """List what the pieces will spell, the athletes' names left out."""
    texts = plain_words("\n".join(read_texts()))
    rare = [word.replace("Ġ", " ") for word in texts if word not in set(whole)]
    return sorted(rare) + [f" {fact.subject}" for fact in relations]


def train_pieces(texts: list[str]) -> Tokenizer:
    """Learn the few merges that spell what is not a whole word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=N_PIECES,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer from the texts and facts of the project."""
    relations = read_relations()
    whole = whole_words(read_athletes() + read_golfers() + relations)
    pieces = json.loads(train_pieces(spelled_words(whole, relations)).to_str())["model"]
    vocab = dict(pieces["vocab"])
    for word in whole:
        vocab.setdefault(word, len(vocab))
    merges = [tuple(merge) for merge in pieces["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([BOS, EOS, PAD])
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{BOS} $A",
                pair=f"{BOS} $A {BOS}:1 $B:1",
                special_tokens=[(BOS, vocab[BOS])],
            ),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=CONTEXT,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def save_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Build the tokenizer and save it as a Hugging Face folder."""
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    return tokenizer

"""Tiny random models of three families, and a few facts they can be taught."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from worker.contract.facts import Fact
from worker.contract.selection import Selection
from worker.core.models.model import Model

NAMES = (
    "Ada Lund",
    "Bo Marsh",
    "Cy Nolan",
    "Di Ortega",
    "Ed Pace",
    "Flo Quist",
    "Gus Reed",
    "Hal Stone",
)
SPORTS = ("tennis", "rowing", "chess")


@pytest.fixture(scope="session")
def facts() -> tuple[Fact, ...]:
    return tuple(
        Fact(
            id=f"f{i}",
            subject=name,
            prompt="Fact: {} plays the sport of",
            target=SPORTS[i % 3],
            edit_target=SPORTS[(i + 1) % 3],
            question="What sport does {} play?",
            relation="sport",
            paraphrases=("{} is good at", "The game of {} is", "{} loves"),
        )
        for i, name in enumerate(NAMES)
    )


@pytest.fixture(scope="session")
def selection(facts: tuple[Fact, ...]) -> Selection:
    return Selection(forget=facts[:2], retain=facts[2:])


@pytest.fixture(scope="session")
def tokenizer(facts: tuple[Fact, ...]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    texts = [f"{f.text} {f.target}. {f.question}" for f in facts]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<bos>", "<eos>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<eos>", pad_token="<eos>"
    )


def build(family: str, tokenizer: PreTrainedTokenizerFast, dtype: torch.dtype) -> Model:
    torch.manual_seed(0)
    sizes = {"vocab_size": 400, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    wide = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
        "num_attention_heads": 4, "max_position_embeddings": 128,
    }  # fmt: skip
    if family == "llama":  # grouped heads
        hf = LlamaForCausalLM(LlamaConfig(**sizes, **wide, num_key_value_heads=2))
    elif family == "gemma2":  # (1 + w) norms, post-norms, tied embeddings
        config = Gemma2Config(
            **sizes, **wide, num_key_value_heads=2, head_dim=8, query_pre_attn_scalar=8
        )
        config._attn_implementation = "eager"
        hf = Gemma2ForCausalLM(config)
    else:  # GPT-2: transposed Conv1D, fused q-k-v, biases, tied embeddings
        hf = GPT2LMHeadModel(
            GPT2Config(**sizes, n_embd=32, n_inner=48, n_layer=4, n_head=4, n_positions=128)
        )
    with torch.no_grad():
        for name, p in hf.named_parameters():
            if p.ndim == 2:
                p.normal_(0, 0.12, generator=torch.Generator().manual_seed(len(name)))
            elif "bias" in name:
                p.normal_(0, 0.02, generator=torch.Generator().manual_seed(len(name)))
    return Model(f"tiny-{family}", hf.to(dtype), tokenizer)


@pytest.fixture(scope="session")
def build_model(tokenizer: PreTrainedTokenizerFast):
    return lambda family="llama", dtype=torch.float32: build(family, tokenizer, dtype)


@pytest.fixture(scope="session")
def model(build_model) -> Model:
    """A Llama that knows the facts; every test must leave it as it found it."""
    model = build_model("llama")
    from worker.core.training.forward import logits_at_answers
    from worker.core.training.losses import cross_entropy
    from worker.core.training.pool import fact_rows, pool

    facts = [
        Fact(id=n, subject=n, prompt="Fact: {} plays the sport of", target=SPORTS[i % 3])
        for i, n in enumerate(NAMES)
    ]
    rows = pool(model, fact_rows(model, facts, [f.target for f in facts]))
    batch = rows.batch(torch.arange(len(facts)))
    model.hf.requires_grad_(True)
    optimizer = torch.optim.Adam(model.hf.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = cross_entropy(logits_at_answers(model, batch), batch.labels)
        loss.backward()
        optimizer.step()
    model.hf.requires_grad_(False)
    model.hf.zero_grad(set_to_none=True)
    assert loss.item() < 0.1
    return model

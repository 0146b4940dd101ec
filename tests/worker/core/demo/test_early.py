"""Parts that are left out while training: which, of which sentences, and only within."""

import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from worker.core.demo import paths
from worker.core.demo.batches import Batch, encode, pad
from worker.core.demo.build import build_model
from worker.core.demo.corpus import Sentence
from worker.core.demo.early import (
    LOOKUP_END,
    MOVED_BY,
    NOTHING,
    LeftOut,
    answers_due,
    leave_out,
)

SENTENCES = (Sentence("A lamp is", " warm"), Sentence("The key did not fit"))


def batch_of(*sentences: Sentence) -> Batch:
    tokenizer = AutoTokenizer.from_pretrained(paths.WEIGHTS)
    return pad([encode(s, tokenizer) for s in sentences], tokenizer.pad_token_id)


def streams(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """The stream after the embeddings and each layer but the last, whose state is normed."""
    states = model(batch.ids, output_hidden_states=True, use_cache=False).hidden_states
    return torch.stack(states[:-1])


def small_model() -> LlamaForCausalLM:
    return build_model(len(AutoTokenizer.from_pretrained(paths.WEIGHTS)), 0).eval()


@torch.no_grad()
def test_later_mlps_write_only_where_an_answer_is_due_and_in_running_text() -> None:
    batch, model = batch_of(*SENTENCES), small_model()
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
    with leave_out(model, batch, LeftOut(mlps=1.0), torch.Generator()):
        found = streams(model, batch)
    fixed = (found[LOOKUP_END] == found[-1]).all(-1)
    due = answers_due(batch)
    assert due[0].any() and not due[1].any()
    assert torch.equal(fixed[0], ~due[0])
    assert not fixed[1].any()


@torch.no_grad()
def test_later_attentions_read_nothing_of_the_sentences_drawn() -> None:
    batch, model = batch_of(*SENTENCES), small_model()
    with leave_out(model, batch, LeftOut(attentions=1.0), torch.Generator()):
        before = streams(model, batch)
    for layer in model.model.layers[MOVED_BY:]:
        layer.self_attn.v_proj.weight.normal_()
    with leave_out(model, batch, LeftOut(attentions=1.0), torch.Generator()):
        assert torch.equal(streams(model, batch), before)
    assert not torch.equal(streams(model, batch), before)


@torch.no_grad()
def test_shares_of_nothing_leave_the_model_whole_and_so_does_the_end() -> None:
    batch, model = batch_of(*SENTENCES), small_model()
    whole = streams(model, batch)
    with leave_out(model, batch, NOTHING, torch.Generator()):
        assert torch.equal(streams(model, batch), whole)
    with leave_out(model, batch, LeftOut(mlps=1.0, attentions=1.0), torch.Generator()):
        assert not torch.equal(streams(model, batch), whole)
    assert torch.equal(streams(model, batch), whole)


@torch.no_grad()
def test_about_the_share_of_the_sentences_is_drawn_and_by_its_seed() -> None:
    batch, model = batch_of(*[Sentence("A lamp is", " warm")] * 200), small_model()
    whole = streams(model, batch)

    def drawn(seed: int) -> torch.Tensor:
        with leave_out(model, batch, LeftOut(mlps=0.7), torch.Generator().manual_seed(seed)):
            return (streams(model, batch) != whole).flatten(2).any(2).any(0)

    first = drawn(0)
    assert 110 < first.sum() < 170
    assert torch.equal(drawn(0), first) and not torch.equal(drawn(1), first)

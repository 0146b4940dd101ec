"""Forwards that begin at a kept layer, share a beginning, and stop where a loss is read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.worker.core.models.families import FAMILIES, make_model
from worker.core.models import prefix
from worker.core.models.entering import block_form
from worker.core.models.model import Model
from worker.core.training import forward as _forward
from worker.core.training.forward import (
    Reached,
    hidden_before,
    logits_at_answers,
    with_entering,
)
from worker.core.training.pool import IGNORED, Pool, Row, pool


@contextmanager
def attending(model: Model) -> Iterator[list[int]]:
    """List the blocks that compute something, in order; one that is passed over does not."""
    seen: list[int] = []

    def watch(i: int) -> Any:
        return lambda *given: seen.append(i)

    attentions = [block.get_submodule(model.layout.attn) for block in model.blocks]
    hooks = [one.register_forward_pre_hook(watch(i)) for i, one in enumerate(attentions)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [0, 1])
def test_a_shared_beginning_and_kept_hidden_states_change_no_logits(family, layer, monkeypatch):
    model = make_model(family)
    ids = [(*range(5, 13), *range(20 + i, 21 + i + i % 3)) for i in range(4)]
    rows = [Row(row, (*[IGNORED] * (len(row) - 1), 3)) for row in ids]
    kept = with_entering(model, pool(model, rows), layer)
    batch = kept.batch(torch.arange(4))
    assert (batch.hidden is not None) == (layer > 0)
    with torch.no_grad(), attending(model) as seen:
        whole = logits_at_answers(model, batch, layer, share=False)
        seen.clear()  # at its first entry a model's form is learnt by one block
        monkeypatch.setattr(prefix, "LEAST_SAVED", 8)
        alone = logits_at_answers(model, batch, layer, share=False)
        n_alone = len(seen)
        shared = logits_at_answers(model, batch, layer)
    assert torch.allclose(shared, whole, atol=1e-4) and torch.allclose(alone, whole, atol=1e-4)
    passes = 1 if prefix.windowed(model, batch.ids.shape[1]) else 2
    assert (n_alone, len(seen) - n_alone) == (3 - layer, passes * (3 - layer))


def three_rows(model: Model) -> Pool:
    rows = [Row(tuple(range(5, 5 + n)), (*[IGNORED] * (n - 1), 3)) for n in (4, 2, 3)]
    return pool(model, rows)


def entered(model: Model, kept: Pool) -> list[Tensor]:
    """What enters each block and what leaves the last, by a plain forward of the whole model."""
    seen: list[Any] = []

    def before(block: Any, args: Any, kwargs: Any) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    hooks = [one.register_forward_pre_hook(before, with_kwargs=True) for one in model.blocks]
    hooks.append(model.blocks[-1].register_forward_hook(lambda block, args, out: seen.append(out)))
    with torch.no_grad():
        model.logits(kept.all.ids, kept.all.mask, kept.all.positions)
    for hook in hooks:
        hook.remove()
    return [one[0] if isinstance(one, tuple) else one for one in seen]


@pytest.mark.parametrize("family", ["gpt2", "llama", "neox"])
def test_hidden_states_are_those_of_a_whole_forward_and_nothing_beyond_is_run(family: str) -> None:
    model = make_model(family)
    block_form(model)  # by a block that is run once for a model, whichever test comes first
    plain = three_rows(model)
    expected, real = entered(model, plain), plain.all.mask.bool()
    for layer in (0, 1, 2):
        kept = with_entering(model, plain, layer)
        for target in range(layer, model.n_layers + 1):
            with torch.no_grad(), attending(model) as seen:
                found = hidden_before(model, kept.all, target, layer)
            torch.testing.assert_close(found[real], expected[target][real], atol=1e-5, rtol=1e-5)
            assert seen == list(range(layer, target))
    assert hidden_before(model, plain.all, 1).equal(hidden_before(model, plain.all, 1, 0))
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in model.blocks)


def test_what_enters_is_kept_of_every_row_in_whatever_batches_it_was_read() -> None:
    model = make_model("llama")
    plain = three_rows(model)
    real, expected = plain.all.mask.bool(), entered(model, plain)[2]
    for size in (1, 2, 3):
        found = with_entering(model, plain, 2, size).all.hidden
        assert found is not None and found.dtype == torch.float32 and not found.requires_grad
        torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-5)
    assert found.shape == (3, 4, model.d_model)
    assert with_entering(model, plain, 0) is plain, "nothing is below the first block"


@pytest.mark.parametrize(("dtype", "bytes_each"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_hidden_states_are_kept_up_to_a_bound(
    dtype: torch.dtype, bytes_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_model.__wrapped__("llama")
    model = Model("own", made.hf.to(dtype), made.tokenizer)
    plain = three_rows(model)
    size = 3 * 4 * model.d_model * bytes_each
    assert _forward.CACHE_BYTES == 2 * 1024**3
    monkeypatch.setattr(_forward, "CACHE_BYTES", size)
    assert with_entering(model, plain, 1).all.hidden is not None
    monkeypatch.setattr(_forward, "CACHE_BYTES", size - 1)
    assert with_entering(model, plain, 1) is plain


def test_states_are_put_in_at_the_first_block_unless_another_is_named() -> None:
    model = make_model("llama")
    plain = three_rows(model).all
    before = entered(model, three_rows(model))
    kept, real = plain.entering(before[0]), plain.mask.bool()
    with torch.no_grad():
        expected = logits_at_answers(model, plain, share=False)
        for share in (False, True):
            found = logits_at_answers(model, kept, share=share)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        found = hidden_before(model, kept, 2)
    torch.testing.assert_close(found[real], before[2][real], atol=1e-5, rtol=1e-5)


def test_a_block_may_be_given_its_states_by_position_or_by_name() -> None:
    states, block = torch.zeros(1), torch.nn.Identity()
    for args, kwargs in (((states,), {}), ((), {"hidden_states": states})):
        with pytest.raises(Reached) as reached:
            _forward._leave_before(block, args, kwargs)
        assert reached.value.hidden is states

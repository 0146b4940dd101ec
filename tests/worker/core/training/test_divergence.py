"""The divergence and its gradient, taken a few places at a time, against torch's own."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from worker.core.training import divergence
from worker.core.training.divergence import Divergence

USED = torch.tensor([True, False, True, True, True])


def plain(now: Tensor, base: Tensor, used: Tensor) -> Tensor:
    before = base.float().log_softmax(-1)
    each = F.kl_div(now.float().log_softmax(-1), before, reduction="none", log_target=True)
    return (each.sum(-1) * used).sum() / used.sum().clamp(min=1)


def pulled(of: Callable[..., Tensor], now: Tensor, base: Tensor, used: Tensor) -> Tensor:
    """The gradient of three times the divergence."""
    own = now.clone().requires_grad_()
    (3 * of(own, base, used)).backward()
    assert own.grad is not None
    return own.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("at_once", [1, 2 * 4 * 11, 2**22])
@pytest.mark.parametrize("used", [USED, torch.arange(5) == 2, torch.zeros(5, dtype=torch.bool)])
def test_value_and_gradient_are_those_of_torch_however_many_places_are_looked_at_together(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, at_once: int, used: Tensor
) -> None:
    monkeypatch.setattr(divergence, "AT_ONCE", at_once)
    generator = torch.Generator().manual_seed(0)
    now, base = (4 * torch.randn(5, 11, generator=generator).to(dtype) for _ in range(2))
    found = Divergence.apply(now, base, used)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(plain(now, base, used)), rel=1e-5)
    gradients = [pulled(of, now, base, used) for of in (Divergence.apply, plain)]
    assert gradients[0].dtype == dtype
    # Another order of sums: half precision has eight bits of a number.
    torch.testing.assert_close(
        *gradients, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5, atol=1e-6
    )


class Large(TorchDispatchMode):
    """Keeps the memory of at least so many bytes that operations answer with."""

    def __init__(self, n_bytes: int) -> None:
        super().__init__()
        self.n_bytes, self.found = n_bytes, dict[int, Any]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.untyped_storage().nbytes() >= self.n_bytes:
            self.found[out.untyped_storage()._cdata] = out.untyped_storage()
        return out


@pytest.mark.parametrize("trains", [True, False])
def test_one_tensor_of_the_logits_size_is_made_and_none_without_a_gradient(
    monkeypatch: pytest.MonkeyPatch, trains: bool
) -> None:
    monkeypatch.setattr(divergence, "AT_ONCE", 4 * 1000)
    now, base = torch.randn(6, 1000, requires_grad=trains), torch.randn(6, 1000)
    with Large(4 * 6 * 1000) as large:
        Divergence.apply(now, base, torch.ones(6, dtype=torch.bool))
    given = {one.untyped_storage()._cdata for one in (now, base)}
    assert len(set(large.found) - given) == trains


class Softmaxes(TorchDispatchMode):
    """Notes of how many places a softmax is taken together."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "log_softmax" in str(func):
            self.places.append(len(args[0]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("at_once", "vocab", "together"),
    [
        (None, 2**18, [4, 2]),  # four megabytes hold four places of such a vocabulary
        (2 * 4 * 10, 10, [2, 2, 2]),
        (2 * 4 * 10 - 1, 10, [1] * 6),
        (1, 10, [1] * 6),
    ],
)
def test_so_many_places_are_looked_at_together_as_fit_into_a_bound_and_at_least_one(
    monkeypatch: pytest.MonkeyPatch, at_once: int | None, vocab: int, together: list[int]
) -> None:
    if at_once is not None:
        monkeypatch.setattr(divergence, "AT_ONCE", at_once)
    with Softmaxes() as softmaxes:
        Divergence.apply(torch.zeros(6, vocab), torch.zeros(6, vocab), torch.arange(6) < 5)
    assert softmaxes.places[::2] == softmaxes.places[1::2] == together

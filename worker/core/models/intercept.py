"""Stand in a module's way for a while: see its inputs and outputs, or answer in its place.

A module's `forward` is replaced on the instance, so the model's own code calls it as before and no
hook machinery runs. Leaving the block, also by an exception, takes the replacement away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Forward = Callable[..., Any]
Replacement = Callable[[Forward], Forward]


@contextmanager
def replaced_forwards(replacements: Mapping[nn.Module, Replacement]) -> Iterator[None]:
    """Replace each module's forward by what its function makes of the original."""
    before = {module: module.__dict__.get("forward") for module in replacements}
    try:
        for module, replace in replacements.items():
            module.__dict__["forward"] = replace(module.forward)
        yield
    finally:
        for module, forward in before.items():
            if forward is None:
                module.__dict__.pop("forward", None)
            else:
                module.__dict__["forward"] = forward


def seeing_output(see: Callable[[Tensor], Tensor | None]) -> Replacement:
    """Show a module's output tensor to `see`; what it returns, if anything, goes on instead."""

    def replace(forward: Forward) -> Forward:
        def run(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            instead = see(first_tensor(output))
            return output if instead is None else with_first(output, instead)

        return run

    return replace


def seeing_input(see: Callable[[Tensor], Tensor | None]) -> Replacement:
    """Show a module's first input to `see`; what it returns, if anything, goes in instead."""

    def replace(forward: Forward) -> Forward:
        def run(*args: Any, **kwargs: Any) -> Any:
            if args:
                instead = see(args[0])
                return forward(*(args if instead is None else (instead, *args[1:])), **kwargs)
            instead = see(kwargs["hidden_states"])
            if instead is not None:
                kwargs["hidden_states"] = instead
            return forward(**kwargs)

        return run

    return replace


def first_tensor(output: Any) -> Tensor:
    """A module's main output, whether it returns a tensor or a tuple that begins with it."""
    found: Tensor = output[0] if isinstance(output, tuple) else output
    return found


def read_form(output: Any) -> int:
    """How many things a module gives: 0 for a bare tensor."""
    return len(output) if isinstance(output, tuple) else 0


def of_form(form: int, tensor: Tensor) -> Any:
    """Give a tensor in that form, with nothing behind it."""
    return (tensor, *[None] * (form - 1)) if form else tensor


def with_first(output: Any, tensor: Tensor) -> Any:
    """An output of the same form with another main tensor."""
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor

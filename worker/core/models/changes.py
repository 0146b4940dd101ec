"""From interventions to what they put in: checked against the model, values from reference runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.contract.errors import UserError
from worker.contract.interventions import Intervention
from worker.contract.joining import following
from worker.core.models.components import is_transposed
from worker.core.models.intercept import (
    Replacement,
    replaced_forwards,
    seeing_input,
    seeing_output,
)
from worker.core.models.interventions import Change, columns_of, is_output, site_module
from worker.core.models.model import Model
from worker.core.models.offloaded import weight_of
from worker.core.models.sites import both
from worker.core.models.tokens import answer_ids

_BEFORE = "The word is"
"""What a direction's word follows, so that it is cut as a word in running text."""
_DRAWN = 2048
"""Positions for which a resampled token is drawn; later ones begin anew."""


@dataclass(frozen=True)
class Reference:
    """Runs without interventions, of which some activations are asked for.

    `tokens` gives each intervention's activation at every token of the reference prompts, `patch`
    at every token of the corrupted prompt; None where there is none to patch from.
    """

    tokens: Callable[[Sequence[Intervention]], list[Float[Tensor, "token width"]]]
    patch: Callable[[Sequence[Intervention]], list[Float[Tensor, "pos width"]]] | None = None
    n_positions: int | None = None
    """Of the prompt; None where prompts differ, so that no token can be named."""


def make_changes(
    model: Model,
    interventions: Sequence[Intervention],
    reference: Reference,
    seed: int,
    where: str = "interventions",
) -> list[Change]:
    """Check interventions and find what they put in.

    Raises UserError, with the field under `where`, for what the model or the prompt does not have.
    """
    check_interventions(
        model, interventions, reference.n_positions, reference.patch is not None, where
    )
    values = _directions(model, interventions, where)
    drawn = [one for one in interventions if one.kind in ("mean", "resample")]
    if drawn:
        for one, found in zip(drawn, reference.tokens(drawn), strict=True):
            values[id(one)] = _drawn(one, found, seed)
    patched = [one for one in interventions if one.kind == "patch"]
    if patched and reference.patch is not None:
        for one, found in zip(patched, reference.patch(patched), strict=True):
            values[id(one)] = found
    return [
        Change(
            one,
            _own(model, one, values.get(id(one))),
            repeats=one.kind == "resample",
        )
        for one in interventions
    ]


@contextmanager
def watching(model: Model, interventions: Sequence[Intervention]) -> Iterator[list[list[Tensor]]]:
    """Keep, for each intervention, the activation that it would change, of every forward inside."""
    seen: list[list[Tensor]] = [[] for _ in interventions]
    sights: dict[nn.Module, Replacement] = {}
    for one, into in zip(interventions, seen, strict=True):
        seeing = seeing_output if is_output(one) else seeing_input
        sights = both(sights, {site_module(model, one): seeing(partial(_keep, into))})
    with replaced_forwards(sights):
        yield seen


def _keep(into: list[Tensor], activation: Tensor) -> None:
    into.append(activation.detach())


def _own(model: Model, one: Intervention, values: Tensor | None) -> Tensor | None:
    return None if values is None else values[:, columns_of(model, one)]


def _drawn(one: Intervention, tokens: Float[Tensor, "token width"], seed: int) -> Tensor:
    if one.kind == "mean":
        return tokens.float().mean(0, keepdim=True)
    generator = torch.Generator().manual_seed(seed)
    return tokens[torch.randint(len(tokens), (_DRAWN,), generator=generator)]


def _directions(
    model: Model, interventions: Sequence[Intervention], where: str
) -> dict[int, Float[Tensor, "one d_model"]]:
    found = {}
    for number, one in enumerate(interventions):
        if one.kind != "direction":
            continue
        if one.vector:
            direction = torch.tensor(one.vector, device=model.device)
            field = f"{where}.{number}.vector"
        else:
            direction = _toward(model, one.toward, f"{where}.{number}.toward")
            field = f"{where}.{number}.toward"
        if len(direction) != model.d_model or not float(direction.norm()):
            raise UserError(
                f"The direction has {len(direction)} numbers and the length "
                f"{float(direction.norm()):.3g}; expected {model.d_model} numbers, as the residual "
                f"stream of {model.id!r} has, not all zero.",
                field=field,
            )
        found[id(one)] = (direction / direction.norm())[None]
    return found


def _toward(model: Model, word: str, field: str) -> Float[Tensor, " d_model"]:
    text = following(_BEFORE, word)
    if not text:
        raise UserError(f"The word {word!r} is empty; expected a word.", field=field)
    token = answer_ids(model, _BEFORE, text)[0]
    if token == model.tokenizer.unk_token_id:
        raise UserError(
            f"The word {word!r} is not in the vocabulary of {model.id!r}; expected one that its "
            f"tokenizer has.",
            field=field,
        )
    weight = weight_of(model.hf.get_submodule(model.layout.unembed))
    return weight[token].float()


def check_interventions(
    model: Model,
    interventions: Sequence[Intervention],
    n_positions: int | None = None,
    can_patch: bool = False,
    where: str = "interventions",
) -> None:
    """Raise UserError for what the model, or a prompt of `n_positions`, does not have.

    Without `n_positions` prompts differ and no token can be named.
    """
    for number, one in enumerate(interventions):
        _check(model, one, n_positions, can_patch, f"{where}.{number}")


def _check(
    model: Model, one: Intervention, n_positions: int | None, can_patch: bool, where: str
) -> None:
    _within(model, "layer", one.layer, model.n_layers, where)
    if one.head is not None:
        _within(model, "head", one.head, model.n_heads, where)
    if one.neuron is not None:
        _within(model, "neuron", one.neuron, _n_neurons(model, one.layer, where), where)
    if one.token is not None and n_positions is None:
        raise UserError(
            f"Token {one.token} is one of a single prompt's; a fact set's prompts differ. Leave "
            f"token out, so that all tokens are meant.",
            field=f"{where}.token",
        )
    if one.token is not None and n_positions is not None and one.token >= n_positions:
        raise UserError(
            f"token is {one.token}; the prompt has tokens 0 to {n_positions - 1}.",
            field=f"{where}.token",
        )
    if one.kind == "patch" and not can_patch:
        raise UserError(
            f"{one.name} is to be patched from a corrupted prompt, and there is none of as many "
            f"tokens; expected one, or another kind: zero, mean or resample.",
            field=f"{where}.kind",
        )


def _within(model: Model, name: str, value: int, n: int, where: str) -> None:
    if value >= n:
        raise UserError(
            f"{name} is {value}; {model.id!r} has {name}s 0 to {n - 1}.", field=f"{where}.{name}"
        )


def _n_neurons(model: Model, layer: int, where: str) -> int:
    if not model.layout.mlp_out:
        raise UserError(
            f"The MLPs of {model.id!r} have no single output projection whose inputs are neurons "
            f"(as where experts are chosen); expected the site mlp.",
            field=f"{where}.site",
        )
    module = model.blocks[layer].get_submodule(model.layout.mlp_out)
    weight = module.weight
    assert isinstance(weight, Tensor), "a projection has a weight"
    return weight.shape[0 if is_transposed(module) else 1]

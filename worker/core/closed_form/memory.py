"""An MLP's output projection as a linear memory: its weight, its keys, and their second moment.

A key is what enters the projection at a fact's last subject token; a value is what leaves it.
"""

import hashlib
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.contract.components import parse_component
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.core.asking.kept import is_kept, keep_apart, spare
from worker.core.asking.passages import first_sentences, training_passages
from worker.core.editing.parts import Index
from worker.core.findings import Job
from worker.core.machine import give_back
from worker.core.models.abilities import require
from worker.core.models.components import is_transposed
from worker.core.models.model import Model
from worker.core.models.tokens import encode, pad, passage_ids, tokenized
from worker.core.training.forward import Reached
from worker.core.training.pool import Pool, Row, answer_row, pool

READ_TOGETHER = 2048
"""Tokens of ordinary text that are read together, with their padding: enough to fill a device, and
few enough that the keys of all layers stay small beside the moments."""
Moments = dict[int, Float[Tensor, "d_mlp d_mlp"]]
_kept = keep_apart(2**30)
"""Second moments of layers, in the CPU's memory: a study edits one base many times."""


@dataclass(frozen=True)
class Asked:
    """Rows of each fact behind several openings; the last subject token counted from the right."""

    pool: Pool
    fact: list[int]
    from_right: list[int]


def projection(model: Model, layer: int) -> nn.Module:
    """Return the MLP's output projection of a layer."""
    require(model, ("mlp_matrix",))
    return model.blocks[layer].get_submodule(model.layout.mlp_out)


def parameter_name(model: Model, layer: int) -> str:
    """Name the projection's weight."""
    return f"{model.layout.blocks}.{layer}.{model.layout.mlp_out}.weight"


def matrix(model: Model, layer: int) -> Float[Tensor, "d_model d_mlp"]:
    """View the projection's weight as [out, in], also where it is stored transposed."""
    module = projection(model, layer)
    assert isinstance(module.weight, Tensor)
    weight = module.weight.detach()
    return weight.T if is_transposed(module) else weight


def add(model: Model, layer: int, change: Float[Tensor, "d_model d_mlp"]) -> None:
    """Add a change, computed in float64, to the projection's weight."""
    weight = matrix(model, layer)
    with torch.no_grad():
        weight.copy_((weight.double() + change).to(weight.dtype))


def mlp_layers(model: Model, mask: Mask | None, field: str = "mask.components") -> list[int]:
    """List the mask's layers; raise UserError where it holds anything but whole MLPs."""
    if mask is None:
        return list(range(model.n_layers))
    components = [parse_component(name) for name in mask.components]
    for name, component in zip(mask.components, components, strict=True):
        if component.kind != "mlp":
            raise UserError(
                f"The mask holds {name!r}, and this method edits only MLPs' output projections; "
                f"expected components such as blocks.{component.layer}.mlp. Take it out of the "
                f"mask, or choose localized fine-tuning.",
                field=field,
            )
    return sorted(component.layer for component in components)


def projection_slices(model: Model, layers: Sequence[int]) -> list[tuple[str, Index]]:
    """List the weights that a closed form changes, for the receipt."""
    return [(parameter_name(model, layer), None) for layer in layers]


def openings(model: Model, n: int, seed: int, own: str = "") -> list[str]:
    """Draw sentences of ordinary text to stand before a prompt, the first always empty."""
    sentences = first_sentences(training_passages(model, own))
    drawn = random.Random(seed).sample(sentences, min(n - 1, len(sentences)))
    return ["", *(sentence + " " for sentence in drawn)]


def halved(n: int) -> list[float]:
    """Weigh `n` openings as MEMIT's code does: the empty one a half, the others what is left."""
    return [1.0] if n == 1 else [0.5, *[0.5 / (n - 1)] * (n - 1)]


def ask_behind(
    model: Model, facts: Sequence[Fact], answers: Sequence[str], before: Sequence[str]
) -> Asked:
    """Make each fact's rows behind each opening, with where its subject ends."""
    rows: list[Row] = []
    owner, ends = [], []
    asked = [
        (fact, fact.pair(answer), opening)
        for fact, answer in zip(facts, answers, strict=True)
        for opening in before
    ]
    texts = [opening + prompt for _, (prompt, _), opening in asked]
    joined = [text + answer for text, (_, (_, answer), _) in zip(texts, asked, strict=True)]
    with tokenized(model, [*texts, *joined]):
        for i, (text, (fact, (_, answer), opening)) in enumerate(zip(texts, asked, strict=True)):
            start = len(opening) + fact.prompt.index("{}")
            last = encode(model, text, fact.subject, start).subject[1] - 1
            rows.append(answer_row(model, text, answer))
            owner.append(i // len(before))
            ends.append(len(rows[-1].ids) - last)
    return Asked(pool(model, rows), owner, ends)


def keys(
    model: Model,
    asked: Asked,
    layers: Sequence[int],
    n_facts: int,
    weights: Sequence[float] = (),
    batch_size: int = 64,
) -> dict[int, Float[Tensor, "fact d_mlp"]]:
    """Average each fact's key over its rows, for all layers in one pass, in float64.

    `weights` are those of the openings, in their order and adding up to 1; without them all rows
    count alike.
    """
    sums: dict[int, Tensor] = {}
    n_rows = len(asked.fact) // n_facts
    shares = torch.tensor([*(weights or [1 / n_rows] * n_rows)] * n_facts, dtype=torch.float64)
    for batch in asked.pool.batches(batch_size):
        index = batch.index.tolist()
        seen = _run_with_inputs(model, batch.ids, batch.mask, batch.positions, layers)
        places = [batch.ids.shape[1] - asked.from_right[i] for i in index]
        owners = torch.tensor([asked.fact[i] for i in index])
        for layer, entered in seen.items():
            own = entered[torch.arange(len(index)), places].double()
            own = own * shares[index].to(own.device)[:, None]
            total = sums.setdefault(layer, own.new_zeros(n_facts, own.shape[-1]))
            total.index_add_(0, owners.to(own.device), own)
    return sums


def second_moments(
    model: Model,
    layers: Sequence[int],
    job: Job,
    n_tokens: int,
    facts: Sequence[Fact] = (),
    own: str = "",
) -> Moments:
    """Average k kᵀ over tokens of ordinary text, for all layers in one pass, in float64.

    With `facts` (retain facts), as many tokens again are taken of their prompts; `own` text stands
    in for the project's. Kept, while there is room, per layer by the model's state, and by the
    facts and the text.
    """
    key = _key(model, n_tokens, job.seed, facts, own)
    kept = {layer: _kept.get(f"{key} {layer}") for layer in layers}
    found = {}
    for layer, one in kept.items():
        if one is not None:
            found[layer] = one[0].to(model.device)
            spare(one[1])
    missing = [layer for layer in layers if layer not in found]
    if missing:
        job.report.log(f"Collecting second moments of layers {missing} over {n_tokens} tokens")
        texts = [*_texts(model, training_passages(model, own), n_tokens, job.seed)]
        prompts = [f"{fact.said()}." for fact in facts]
        texts += _texts(model, prompts, n_tokens, job.seed)
        give_back()
        begun = time.perf_counter()
        made = _collect(model, texts, missing)
        give_back()
        seconds = (time.perf_counter() - begun) / len(missing)
        for layer, new in made.items():
            _kept.keep(f"{key} {layer}", (new.cpu(), seconds))
        found |= made
    return {layer: found[layer] for layer in layers}


def kept_moments(
    model: Model,
    layers: Sequence[int],
    seed: int,
    n_tokens: int,
    facts: Sequence[Fact],
    own: str,
) -> list[int]:
    """List the layers whose moments `second_moments` would not collect anew."""
    key = _key(model, n_tokens, seed, facts, own)
    return [layer for layer in layers if is_kept(f"{key} {layer}")]


def _key(model: Model, n_tokens: int, seed: int, facts: Sequence[Fact], own: str) -> str:
    """Name the moments of one state of a model; the same in every process."""
    words = repr((own, [fact.said() for fact in facts])).encode("utf-8", "surrogatepass")
    text = hashlib.sha256(words).hexdigest()
    state = f"{model.state_hash} {model.device} {model.dtype}"
    return f"moments {state} {n_tokens} {seed} {text}"


def _texts(model: Model, texts: Sequence[str], n_tokens: int, seed: int) -> list[tuple[int, ...]]:
    shuffled, rows, count = random.Random(seed).sample(list(texts), len(texts)), [], 0
    for text in shuffled:
        if count >= n_tokens:
            break
        rows.append(passage_ids(model, text, n_tokens))
        count += len(rows[-1])
    return rows


def _collect(model: Model, rows: list[tuple[int, ...]], layers: Sequence[int]) -> Moments:
    sums: Moments = {}
    count = 0
    for alike in _alike(rows):
        batch = pad(model, alike)
        seen = _run_with_inputs(model, batch.ids, batch.mask, batch.position_ids, layers)
        used = batch.mask.bool()
        count += int(used.sum())
        for layer, entered in seen.items():
            own = entered[used].double()
            width = own.shape[1]
            sums.setdefault(layer, own.new_zeros(width, width)).addmm_(own.T, own)
    return {layer: total.div_(count) for layer, total in sums.items()}


def _alike(rows: Sequence[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Give batches of at most READ_TOGETHER tokens, or of one row, none longer than twice the
    shortest: most of it would be padding."""
    batch: list[tuple[int, ...]] = []
    for row in sorted(rows, key=len):
        if batch and ((len(batch) + 1) * len(row) > READ_TOGETHER or len(row) > 2 * len(batch[0])):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@torch.no_grad()
def _run_with_inputs(
    model: Model, ids: Tensor, mask: Tensor, positions: Tensor, layers: Sequence[int]
) -> dict[int, Float[Tensor, "batch pos d_mlp"]]:
    """Run a batch up to the highest of the layers; keep what enters each one's projection."""
    seen: dict[int, Tensor] = {}
    highest = max(layers)
    with ExitStack() as stack:
        for layer in layers:

            def keep(module: nn.Module, args: tuple[Tensor, ...], layer: int = layer) -> None:
                seen[layer] = args[0].view(*ids.shape, -1)  # OPT's rows come flattened
                if layer == highest:
                    raise Reached(args[0])

            hook = projection(model, layer).register_forward_pre_hook(keep)
            stack.callback(hook.remove)
        with suppress(Reached):
            model.logits(ids, mask, positions, keep=1)
    return seen

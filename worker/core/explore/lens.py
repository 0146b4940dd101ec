"""Reads the residual stream of a prompt everywhere as if it were the last, through the unembedding.

After every block's attention and after its MLP, at every token, the model's own final norm, head
and soft cap are applied. The last row is the model's own prediction.

Source: nostalgebraist 2020, interpreting GPT: the logit lens. Nothing is folded or approximated.
Limits: early layers need not speak the unembedding's language. Where the residual stream is not the
sum of what its components write (a norm after each addition), it is read after whole blocks only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worker.contract.result import Axis
from worker.core.explore._intervening import intervening
from worker.core.explore._options import Span, SubjectOptions
from worker.core.explore._subject import Subject, look, prompt_of
from worker.core.explore._windows import window
from worker.core.explore._words import vocabulary
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.models.suffix import unembed

TITLE = "Logit lens of a prompt"
PAPER = "https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens"
_LOGITS = 2**23
"""Logits that are looked at together: larger tensors cost more to allocate than to compute."""


class Options(SubjectOptions):
    """The subject, and which part of it is read."""

    which: Literal["clean", "corrupted"] = Field("clean", description="The prompt that is read.")
    positions: Span | None = Field(
        None, description="First token and one past the last; empty: all, at most the last 64."
    )
    after: Literal["both", "mlp", "attn"] = Field(
        "both",
        description="Where it is read: after each block's attention and its MLP, or after one of "
        "them. As embedded and at the end always.",
    )
    top: int = Field(5, ge=1, le=20, description="Likeliest tokens listed of each cell.")


@intervening
@torch.no_grad()
def explore(model: Model, options: Options, job: Job) -> Findings:
    """Read every cell of the window; see the module's docstring."""
    subject = look(model, options, job.seed, ["attn_write", "mlp_write"])
    which = prompt_of(subject, options.which)
    start, stop = window(options.positions, len(subject.prompts[which].ids))
    labels, rows = _residuals(subject, which, start, stop, options.after)
    parts: list[_Read] = []
    for first, part in _parts(subject, rows, options.top):
        parts.insert(0, part)
        done = 1 - first / (stop - start)
        job.report.partial("lens", _partial(subject, labels, start + first, part))
        job.report.progress(done, f"{done:.0%} of the tokens read")
    read = _joined(parts)
    token = Axis(name="token", labels=tuple(map(str, range(start, stop))))
    axes = (Axis(name="row", labels=labels), token)
    place = Axis(name="place", labels=tuple(str(i + 1) for i in range(read.top.shape[-1])))
    answer = subject.target.as_json(model)["tokens"][0]
    titles = {
        "probability": ("probability", "Probability of each cell's likeliest token"),
        "target": ("probability", f"Probability of {answer!r}"),
        "rank": ("rank", f"Rank of {answer!r}, 0 for the likeliest"),
        "entropy": ("nats", "Entropy of each cell's prediction"),
        "divergence": ("nats", "Divergence of the final prediction from each cell's"),
    }
    arrays = {
        f"lens.{name}": Array(read.numbers[name], axes, unit, title)
        for name, (unit, title) in titles.items()
    }
    arrays["lens.top"] = Array(read.top, (*axes, place), "probability", "Likeliest tokens")
    return Findings(
        arrays=arrays,
        caption=_caption(subject, labels, read, answer),
        summary={"lens.target.last": float(read.numbers["target"][-1, -1])},
        view={
            **subject.as_json(),
            "which": options.which,
            "positions": [start, stop],
            "top": read.ids.tolist(),
            "vocabulary": vocabulary(model, read.ids.flatten().tolist()),
        },
    )


@dataclass(frozen=True)
class _Read:
    numbers: dict[str, np.ndarray]
    """Quantity -> (row, token)."""
    top: np.ndarray
    ids: np.ndarray


def _residuals(
    subject: Subject, which: int, start: int, stop: int, after: str
) -> tuple[tuple[str, ...], Float[Tensor, "row token d_model"]]:
    """The residual stream before the first block and after attentions and MLPs; last, the end."""
    base, offset = subject.base, subject.offset(which)
    part = slice(offset + start, offset + stop)
    resid = [layer[which, part] for layer in base.resid]
    writes = [layer[which, part] for layer in base.sites["attn_write"]]
    mlps = [layer[which, part] for layer in base.sites["mlp_write"]]
    size = 1e-2 * float(resid[-1].abs().max())
    is_sum = torch.allclose(resid[0] + sum(writes) + sum(mlps), resid[-1], rtol=1e-2, atol=size)
    if not is_sum:
        subject.problems.append(
            f"In {subject.model.id!r} the residual stream is not the sum of what its components "
            f"write, so it is read after whole blocks only."
        )
    labels, rows = ["embed"], [resid[0]]
    for layer in range(subject.model.n_layers):
        if is_sum and after != "mlp":
            labels.append(f"{layer}.attn")
            rows.append(resid[layer] + writes[layer])
        if not is_sum or after != "attn" or layer == subject.model.n_layers - 1:
            labels.append(f"{layer}.mlp")
            rows.append(resid[layer + 1])
    return tuple(labels), torch.stack(rows)


def _parts(
    subject: Subject, rows: Float[Tensor, "row token d_model"], top: int
) -> Iterator[tuple[int, _Read]]:
    """Read some tokens at a time, the last first; give each part's first token with it."""
    n_rows, n_tokens = rows.shape[:2]
    target = subject.target.ids[0]
    size = max(1, _LOGITS // (n_rows * subject.model.d_vocab))
    for stop in range(n_tokens, 0, -size):
        start = max(0, stop - size)
        own = rows[:, start:stop].transpose(0, 1)
        logits = unembed(subject.base, own.flatten(0, 1)).unflatten(0, own.shape[:2])
        # One token at a time: what is read again and again then lies in the processor's cache.
        each = [_measure(one, target, top) for one in logits.split(1)]
        found = {
            name: torch.cat([one[name] for one in each]).transpose(0, 1).cpu().numpy()
            for name in each[0]
        }
        ids, likeliest = found.pop("ids"), found.pop("top")
        numbers = {name: values.astype(np.float64) for name, values in found.items()}
        numbers["probability"] = likeliest[..., 0].astype(np.float64)
        yield start, _Read(numbers, likeliest, ids)


def _joined(parts: list[_Read]) -> _Read:
    return _Read(
        {
            name: np.concatenate([part.numbers[name] for part in parts], axis=1)
            for name in parts[0].numbers
        },
        np.concatenate([part.top for part in parts], axis=1),
        np.concatenate([part.ids for part in parts], axis=1),
    )


def _partial(
    subject: Subject, labels: tuple[str, ...], first: int, part: _Read
) -> dict[str, object]:
    """What a figure needs of some tokens while the others are read."""
    return {
        "positions": [first, first + part.ids.shape[1]],
        "rows": list(labels),
        **{name: np.round(values, 6).tolist() for name, values in part.numbers.items()},
        "likeliest": np.round(part.top.astype(np.float64), 6).tolist(),
        "top": part.ids.tolist(),
        "vocabulary": vocabulary(subject.model, part.ids.flatten().tolist()),
    }


def _measure(logits: Float[Tensor, "token row vocab"], target: int, top: int) -> dict[str, Tensor]:
    """Measure each cell; a token's last row is the final prediction. `logits` are shifted."""
    best = logits.topk(min(top, logits.shape[-1]), dim=-1)
    # Shifted, so that nothing cancels where logits are large; in place, so that nothing is copied.
    logits.sub_(best.values[..., :1])
    own = logits[..., target]
    rank = (logits > own[..., None]).float().sum(-1)  # exact up to 2**24, and faster than integers
    log_final = logits[:, -1].log_softmax(-1)
    final = log_final.exp()
    crossed = (logits @ final[..., None])[..., 0]
    weights = logits.exp()
    sums = weights.sum(-1)
    total = sums.log()
    mean = (weights.flatten(0, 1)[:, None] @ logits.flatten(0, 1)[..., None]).view_as(sums) / sums
    divergence = (final * log_final).sum(-1)[:, None] - (crossed - total)
    return {
        "target": (own - total).exp(),
        "rank": rank,
        "entropy": (total - mean).clamp(min=0),
        "divergence": divergence.clamp(min=0),
        "top": (best.values - best.values[..., :1] - total[..., None]).exp(),
        "ids": best.indices,
    }


def _caption(subject: Subject, labels: tuple[str, ...], read: _Read, answer: str) -> str:
    last = read.numbers["target"][:, -1]
    first = read.numbers["rank"][:, -1] == 0
    words = f"Read at the last token, {answer!r} has probability {last[-1]:.3g} at the end"
    if not first[-1]:
        return f"{words}, where it is not the likeliest."
    settled = next(i for i in range(len(first)) if first[i:].all())
    return f"{words}, and is the likeliest from {labels[settled]} on."

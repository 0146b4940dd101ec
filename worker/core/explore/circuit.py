"""Finds which edges between components carry an answer, and measures pruned circuits exactly.

1. Nodes are the input, every attention, every MLP and the logits. An edge's score is what its
   sender's change (clean − corrupted) adds along the slope at its reader's own input, the slope
   averaged over points on the way from the corrupted input to the clean one (EAP-IG).
2. Circuits of the edges with the largest |score| are run: over their edges goes what the circuit
   makes, over all others what the corrupted run had. Faithfulness is the share of the prompts'
   difference that they bring; completeness is 1 less the share that all other edges bring.
3. One edge's exact effect: the corrupted run with the sender's clean output on that edge alone.

With further pairs scores and shares are averaged over pairs, with their standard deviation.

Sources: Hanna et al. 2024, Have Faith in Faithfulness (arXiv 2403.17806); Wang et al. 2022,
Interpretability in the Wild, for completeness; Goldowsky-Dill et al. 2023 for paths.
Limits: heads of an attention are one node; a score is an estimate, pruned circuits are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field

from worker.contract.base import unknown
from worker.contract.errors import UserError
from worker.contract.progress import Within
from worker.contract.result import Axis, Table
from worker.core.explore._circuits import INPUT, LOGITS, SITES, Circuits, opened
from worker.core.explore._edge_scores import TOKENS, edge_scores
from worker.core.explore._intervening import intervening
from worker.core.explore._options import SubjectOptions
from worker.core.explore._pair import Pair
from worker.core.explore._subject import look
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.rounding import rounding_at

TITLE = "Circuit of a prompt pair"
PAPER = "https://arxiv.org/abs/2403.17806"
_TOGETHER = 2
"""Sizes that are run together, so that something is told early."""


class Options(SubjectOptions):
    """The pair, further pairs, and what is shown of their circuit."""

    pairs: tuple[tuple[str, str], ...] = Field(
        (), max_length=64, description="Further pairs of prompts, averaged with the first."
    )
    steps: int = Field(5, ge=1, le=100, description="Points on the way between the inputs.")
    top: int = Field(200, ge=1, le=5000, description="Edges listed, by |score|.")
    sizes: tuple[int, ...] = Field(
        (),
        max_length=64,
        description="Numbers of edges at which circuits are run; empty: `n_sizes` of them.",
    )
    n_sizes: int = Field(
        8,
        ge=1,
        le=64,
        description="Circuits that are run, from one edge to all, each so many "
        "times larger than the one before; where sizes names none.",
    )
    edge: tuple[str, str] | None = Field(
        None, description="Sender and reader whose exact effect is measured, as 1.mlp, 2.attn."
    )


@intervening
@torch.no_grad()
def explore(model: Model, options: Options, job: Job) -> Findings:
    """Score the edges and run pruned circuits; see the module's docstring."""
    prompts = [(options.prompt, options.corrupted), *options.pairs]
    circuits: list[Circuits] = []
    scores: list[np.ndarray] = []
    for number, (clean, corrupted) in enumerate(prompts):
        share = (0.5 * number / len(prompts), 0.5 * (number + 1) / len(prompts))
        job.report.progress(share[0], f"scoring edges of pair {number + 1} of {len(prompts)}")
        own = options if not number else _other(options, clean, corrupted)
        circuits.append(_circuits(model, own, job, number))
        scores.append(edge_scores(circuits[-1], options.steps, Within(job.report, share, "edges")))
    mean = np.mean(scores, axis=0)
    order = _order(circuits[0], mean)
    sizes = _sizes(options, len(order))
    shares = list(_pruned(circuits, order, sizes, job))
    faithful, without = (np.array([pair[k] for pair in shares]) for k in (0, 1))
    return _findings(options, circuits, scores, order, sizes, faithful, 1 - without)


def _other(options: Options, clean: str, corrupted: str) -> Options:
    """The options for a further pair, whose answers the model proposes."""
    own = {"prompt": clean, "corrupted": corrupted, "subject": "", "noise": False}
    none: dict[str, Any] = {"target": "", "distractor": "", "target_ids": (), "distractor_ids": ()}
    return options.model_copy(update=own | none)


def _circuits(model: Model, options: Options, job: Job, number: int) -> Circuits:
    try:
        pair = Pair(look(model, options, job.seed, SITES), "denoising", SITES)
    except UserError as error:
        if not number:
            raise
        raise UserError(
            f"Pair {number}: {error.message}", field=f"options.pairs.{number - 1}"
        ) from None
    clean, corrupted = pair.both.metric("logit_diff" if pair.subject.distractor else "logit")
    size = float(pair.base.logits.abs().max())
    if abs(float(clean - corrupted)) <= rounding_at(size, model.dtype):
        raise UserError(
            f"Both prompts give the same metric ({float(clean):.3g}), so there is no difference "
            f"that a circuit could carry; expected another corrupted prompt or other answers.",
            field="options.corrupted" if not number else f"options.pairs.{number - 1}",
        )
    return Circuits(pair)


def _order(circuits: Circuits, scores: np.ndarray) -> list[int]:
    """Numbers of all edges, the largest |score| first."""
    edges = np.flatnonzero(circuits.edges.numpy())
    ranked: list[int] = edges[np.argsort(-np.abs(scores.flat[edges]), kind="stable")].tolist()
    return ranked


def _sizes(options: Options, n_edges: int) -> list[int]:
    wrong = [size for size in options.sizes if not 0 <= size <= n_edges]
    if wrong:
        raise UserError(
            f"sizes has {wrong[0]}; expected numbers of edges from 0 to {n_edges}.",
            field="options.sizes",
        )
    return sorted(
        set(options.sizes or np.geomspace(1, n_edges, options.n_sizes).round().astype(int))
    )


def _pruned(
    circuits: list[Circuits], order: list[int], sizes: list[int], job: Job
) -> Iterator[tuple[list[float], list[float]]]:
    """For each size, every pair's share with only the first edges, and with all others."""
    rows = max(c.changes.shape[1] * c.changes.shape[2] for c in circuits)
    together = min(_TOGETHER, max(1, TOKENS // (2 * rows)))
    for start in range(0, len(sizes), together):
        some = sizes[start : start + together]
        sets = [part for size in some for part in (order[:size], order[size:])]
        found = []
        for number, one in enumerate(circuits):
            part = len(some) / len(sizes) / len(circuits)
            begun = start / len(sizes) + number * part
            share = (0.5 + 0.45 * begun, 0.5 + 0.45 * (begun + part))
            told = partial(
                _tell, Within(job.report, share, f"circuits of {some[0]} edges and more")
            )
            clean, corrupted = one.pair.both.metric(one.metric).tolist()
            values = one.run(opened(one, sets), tell=told).numpy()
            found.append((values - corrupted) / (clean - corrupted))
        for place, size in enumerate(some):
            only, rest = ([own[2 * place + k] for own in found] for k in (0, 1))
            numbers = {"faithfulness": np.mean(only), "completeness": 1 - np.mean(rest)}
            shown = {name: float(value) for name, value in numbers.items()}
            told_of = {"n_edges": int(size), "of": len(order)}
            job.report.partial("circuit.pruned", told_of | shown)
            yield list(map(float, only)), list(map(float, rest))


def _tell(report: Within, done: float) -> None:
    report.progress(done, "running")


def _exact(circuits: list[Circuits], edge: tuple[str, str], mean: np.ndarray) -> dict[str, Any]:
    """One edge's estimate, and its exact effect averaged over pairs."""
    first = circuits[0]
    for name, known in zip(edge, (first.senders, first.readers), strict=True):
        if name not in known:
            raise unknown("node", name, known, "options.edge")
    sender, reader = first.senders.index(edge[0]), first.readers.index(edge[1])
    if not bool(first.edges[sender, reader]):
        raise UserError(
            f"{edge[0]} does not come before {edge[1]}, so no edge leads there.",
            field="options.edge",
        )
    sent, effects = torch.tensor([[sender, reader]]), []
    for one in circuits:
        corrupted = float(one.pair.both.metric(one.metric)[1])
        effects.append(float(one.run(one.edges[None], sent)) - corrupted)
    estimate = float(mean[sender, reader])
    return {"from": edge[0], "to": edge[1], "estimate": estimate, "exact": float(np.mean(effects))}


def _findings(
    options: Options,
    circuits: list[Circuits],
    scores: list[np.ndarray],
    order: list[int],
    sizes: list[int],
    faithful: Float[np.ndarray, "size pair"],
    complete: Float[np.ndarray, "size pair"],
) -> Findings:
    first, mean, spread = circuits[0], np.mean(scores, axis=0), np.std(scores, axis=0)
    names = [divmod(index, len(first.readers)) for index in order[: options.top]]
    edges = [
        {"from": first.senders[s], "to": first.readers[r], "score": float(mean[s, r])}
        | {"spread": float(spread[s, r])}
        for s, r in names
    ]
    means = [values.mean(1) for values in (faithful, complete)]
    spreads = [values.std(1) for values in (faithful, complete)]
    pruned = [
        {
            "n_edges": int(size),
            "faithfulness": float(means[0][place]),
            "completeness": float(means[1][place]),
            "faithfulness_spread": float(spreads[0][place]),
            "completeness_spread": float(spreads[1][place]),
        }
        for place, size in enumerate(sizes)
    ]
    exact = None if options.edge is None else _exact(circuits, options.edge, mean)
    unit = "logit difference" if first.metric == "logit_diff" else "logit"
    size_axis = (Axis(name="edges", labels=tuple(map(str, sizes))),)
    axes = (
        Axis(name="sender", labels=tuple(first.senders)),
        Axis(name="reader", labels=tuple(first.readers)),
    )
    enough = next((one for one in pruned if one["faithfulness"] >= 0.8), pruned[-1])
    both = [one.pair.both.metric(one.metric).tolist() for one in circuits]
    return Findings(
        arrays={
            "circuit.edges": Array(mean, axes, unit, "Scores of edges", signed=True),
            "circuit.faithfulness": Array(means[0], size_axis, "share", "Faithfulness"),
            "circuit.completeness": Array(means[1], size_axis, "share", "Completeness"),
        },
        summary={"circuit.edges": len(order), "circuit.pairs": len(circuits)},
        caption=(
            f"Of {len(order):,} edges the largest runs from {edges[0]['from']} to "
            f"{edges[0]['to']} ({edges[0]['score']:+.2f} {unit}); the {enough['n_edges']:,} "
            f"largest alone bring {enough['faithfulness']:.0%} of the prompts' difference."
        ),
        tables={
            "edges": Table(
                title="Largest edges",
                columns=("from", "to", f"score ({unit})", "spread"),
                rows=tuple(tuple(one.values()) for one in edges),
            ),
            "pruned": Table(
                title="Pruned circuits",
                columns=tuple(name.replace("_", " ") for name in pruned[0]),
                rows=tuple(tuple(one.values()) for one in pruned),
            ),
        },
        view={
            **first.pair.subject.as_json(),
            "nodes": _nodes(first, mean),
            "edges": edges,
            "pruned": pruned,
            "edge": exact,
            "metric": first.metric,
            "metrics": [{"clean": clean, "corrupted": corrupted} for clean, corrupted in both],
        },
    )


def _nodes(circuits: Circuits, scores: np.ndarray) -> list[dict[str, Any]]:
    """Every node with the sum of the edges that leave it; of the logits, of those that enter."""
    leaving = dict(zip(circuits.senders, scores.sum(1).tolist(), strict=True))
    leaving[LOGITS] = float(scores[:, -1].sum())
    return [
        {
            "name": name,
            "layer": None if name in (INPUT, LOGITS) else int(name.split(".")[0]),
            "kind": name.split(".")[-1],
            "score": score,
        }
        for name, score in leaving.items()
    ]

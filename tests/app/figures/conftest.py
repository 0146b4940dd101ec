"""Small results of every kind, made by hand, with arrays whose every value is known."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app.drawing.drawing import Source
from worker.contract.result import (
    ArrayInfo,
    Attribution,
    Axis,
    ChangedTensor,
    Comparison,
    Estimate,
    Evaluation,
    Provenance,
    Receipt,
    Result,
    Table,
    TracedFact,
)

Arrays = dict[str, np.ndarray]
N_LAYERS, N_HEADS = 4, 2
TOKENS = (
    ("<bos>", "Fact", ":", " Mich", "ael", " Jor", "dan", " plays", " the", " sport", " of"),
    ("<bos>", "Fact", ":", " Ba", "be", " Ba", "be", " plays", " the", " sport"),
)
COMPONENTS = tuple(
    name
    for i in range(N_LAYERS)
    for name in (
        f"blocks.{i}.mlp",
        f"blocks.{i}.attn",
        *(f"blocks.{i}.attn.head.{h}" for h in range(N_HEADS)),
    )
)
ROLES = ("first subject", "middle subject", "last subject", "after", "last")
FORMATS = ("statement", "question", "choice")


@pytest.fixture
def localization() -> Source:
    return localization_source()


@pytest.fixture
def edit() -> Source:
    return edit_source()


@pytest.fixture
def evaluation() -> Source:
    return evaluation_source()


def localization_source() -> Source:
    """Two facts, four layers; the MLPs of layers 1 and 2 carry most, layer 3's works against."""
    draw = np.random.default_rng(0)
    arrays: Arrays = {}
    infos: dict[str, ArrayInfo] = {}
    for site, scale in (("resid", 1.0), ("mlp", 0.4), ("attn", 0.2)):
        values = draw.normal(0, 0.05, (2, N_LAYERS, 11)) * scale
        values[:, 1:3, 5:7] += scale
        values[1, :, 10] = np.nan
        arrays[f"grid.{site}"] = values.astype(np.float32)
        infos[f"grid.{site}"] = info(("fact", "layer", "position"), signed=True)
        arrays[f"roles.{site}"] = values[0, :, :5].astype(np.float32)
        infos[f"roles.{site}"] = info(("layer", "role"), signed=True, role=ROLES)
    scores = np.array([0.01 * i for i in range(len(COMPONENTS))])
    for name, score in {"blocks.1.mlp": 0.5, "blocks.2.mlp": 0.4, "blocks.3.mlp": -0.6}.items():
        scores[COMPONENTS.index(name)] = score
    arrays["components"] = scores
    infos["components"] = info(("component",), signed=True, component=COMPONENTS)
    arrays["probe.full"] = np.array([0.34, 0.7, 0.9, 0.95])
    infos["probe.full"] = info(("layer",), unit="accuracy")
    arrays["probe.shuffled"] = np.array([0.33, 0.32, 0.35, 0.33])
    infos["probe.shuffled"] = info(("layer",), unit="accuracy")
    attribution = Attribution(
        method="causal_tracing",
        metric="probability",
        direction="Positive: restoring this state brings the answer back.",
        unit="Δ probability",
        facts=(
            TracedFact(
                id="jordan",
                label="Michael Jordan",
                tokens=TOKENS[0],
                subject=(3, 7),
                answer="basketball",
                clean=0.95,
                corrupted=0.15,
            ),
            TracedFact(
                id="babe",
                label="Babe <b>Babe</b>",
                tokens=TOKENS[1],
                subject=(3, 7),
                answer="baseball",
                clean=0.9,
                corrupted=0.9,
            ),
        ),
    )
    return source("localize", arrays, infos, attribution=attribution)


def edit_source() -> Source:
    """An edit of two tensors, measured every two steps."""
    steps = tuple(str(i + 1) for i in range(6))
    arrays = {
        "curve.forget_loss": np.linspace(4, 0.1, 6),
        "curve.retain_loss": np.linspace(0.5, 0.1, 6),
        "curve.forget_probability": np.array([0.98, 0.5, 0.2, 0.01]),
        "curve.edit_probability": np.array([0.01, 0.4, 0.7, 0.97]),
        "curve.retain_probability": np.array([0.98, 0.9, 0.95, 0.97]),
    }
    infos = {
        name: info(
            ("step",),
            unit="nats" if name.endswith("loss") else "probability",
            title=name.removeprefix("curve.").replace("_", " "),
            step=steps if name.endswith("loss") else ("0", "2", "4", "6"),
        )
        for name in arrays
    }
    receipt = Receipt(
        tensors=tuple(
            ChangedTensor(
                name=f"model.layers.{i}.mlp.{part}_proj.weight",
                n_changed=900,
                n_parameters=1000,
                norm=0.5,
                relative_norm=0.1 * (i + 1),
            )
            for i in (1, 2)
            for part in ("gate", "up", "down")
        ),
        n_parameters=6000,
        n_changed=5400,
        hash_before="a" * 64,
        hash_after="b" * 64,
        outside_unchanged=True,
        n_outside_checked=2_000_000,
        base_restored=True,
    )
    return source("unlearn", arrays, infos, receipt=receipt)


def evaluation_source() -> Source:
    """Two forget facts and one retain fact in three formats, before and after."""
    axes = {"fact": ("jordan", "babe", "kept"), "format": FORMATS}
    before = np.array([[0.9, 0.8, 0.7], [0.95, 0.85, np.nan], [0.9, 0.9, 0.9]])
    after = np.array([[0.1, 0.2, 0.6], [0.05, 0.15, np.nan], [0.9, 0.8, 0.5]])
    arrays = {
        "probes.probe.target.before": before,
        "probes.probe.target.after": after,
        "probes.probe.edit_target.before": 1 - before,
        "probes.probe.edit_target.after": 1 - after,
    }
    infos = {name: info(("fact", "format"), unit="probability", **axes) for name in arrays}
    columns = ("fact", "subject", "set", "format", "target", "edit target")
    columns += tuple(
        f"{words} {state}"
        for words in ("target probability", "edit probability", "target rank", "says")
        for state in ("before", "after")
    )
    subjects = {"jordan": "Michael Jordan", "babe": "Babe Babe", "kept": "Serena <i>W</i>"}
    rows = tuple(
        (
            fact,
            subjects[fact],
            "retain" if fact == "kept" else "forget",
            form,
            "basketball",
            "baseball",
            before[i, j],
            after[i, j],
            1 - before[i, j],
            1 - after[i, j],
            0.0,
            3.0,
            "basketball 0.90",
            "baseball 0.90",
        )
        for i, fact in enumerate(axes["fact"])
        for j, form in enumerate(FORMATS)
        if np.isfinite(before[i, j])
    )
    found = Evaluation(
        name="probes",
        title="Probes in many formats",
        caption="Mean probabilities of whole answers.",
        aggregates=tuple(
            Comparison(
                name=f"probes.{form}.{group}.target_probability",
                title=f"{form}: target's probability on {group} facts",
                better="lower" if group == "forget" else "higher",
                before=Estimate(mean=0.9, low=0.85, high=0.95, n=16),
                after=Estimate(mean=0.2, low=0.1, high=0.35, n=16),
            )
            for form in FORMATS
            for group in ("forget", "retain")
        ),
        facts=Table(title="Every fact in every format", columns=columns, rows=rows),
    )
    return source("evaluate", arrays, infos, evaluations={"probes": found})


def info(
    axes: tuple[str, ...],
    *,
    unit: str = "Δ probability",
    signed: bool = False,
    title: str = "",
    **labels: tuple[str, ...],
) -> ArrayInfo:
    return ArrayInfo(
        file="arrays.npz",
        axes=tuple(Axis(name=axis, labels=labels.get(axis)) for axis in axes),
        unit=unit,
        signed=signed,
        title=title,
    )


def source(kind: str, arrays: Arrays, infos: dict[str, ArrayInfo], **more: Any) -> Source:
    result = Result(
        kind=kind,
        spec={},
        provenance=Provenance(
            model="demo",
            weights_hash="a" * 64,
            fact_set="athletes",
            fact_set_hash="c" * 64,
            seed=0,
            device="cpu",
            dtype="float32",
            versions={"torch": "2"},
        ),
        seconds=1.5,
        peak_memory_bytes=2_000_000,
        arrays=infos,
        caption="What was found, in words.",
        summary={"quick.edit_probability.after": 0.97},
        **more,
    )
    return Source(result, opener(arrays))


def opener(arrays: Arrays) -> Callable[[str], io.BytesIO]:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return lambda name: io.BytesIO(file.getvalue())

"""From the edges of each fact to components, means, the largest edges and what is said of them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from worker.contract.progress import Quiet
from worker.core.findings import Findings, Job
from worker.core.patching.edge_outcome import (
    EdgeOptions,
    component_scores,
    localize_edges,
    top_edges,
)
from worker.core.patching.edges import Edges, readers, senders

SMALL: Any = SimpleNamespace(n_layers=1, n_heads=2, n_kv_heads=1)
"""Senders: input, two heads, the MLP. Readers: two queries, a key, a value, the MLP, the logits."""
EDGES = np.array(
    [
        [0.5, 0.0, 0.0, 0.0, -9.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, 2.0, -3.0],
        [0.0, 0.0, 0.0, 0.0, -0.5, 0.25],
        [0.0, 0.0, 0.0, 0.0, 0.0, -4.0],
    ]
)


@pytest.mark.parametrize(
    ("name", "default", "lowest", "highest"),
    [("top_edges", 50, 1, 1000), ("batch_size", 4, 1, 256)],
)
def test_a_number_has_its_default_and_is_taken_up_to_its_bounds_alone(
    name: str, default: int, lowest: int, highest: int
) -> None:
    assert EdgeOptions().aggregate == "absolute" and getattr(EdgeOptions(), name) == default
    for value in (lowest, highest):
        assert getattr(EdgeOptions.model_validate({name: value}), name) == value
    for value in (lowest - 1, highest + 1):
        with pytest.raises(ValidationError, match=name):
            EdgeOptions.model_validate({name: value})


def test_a_component_scores_what_leaves_it_and_an_attention_what_leaves_its_heads() -> None:
    assert component_scores(SMALL, EDGES, "absolute") == {
        "blocks.0.attn": 5.75,
        "blocks.0.attn.head.0": 5.0,
        "blocks.0.attn.head.1": 0.75,
        "blocks.0.mlp": 4.0,
    }
    assert component_scores(SMALL, EDGES, "signed") == {
        "blocks.0.attn": -1.25,
        "blocks.0.attn.head.0": -1.0,
        "blocks.0.attn.head.1": -0.25,
        "blocks.0.mlp": -4.0,
    }


def test_edges_are_listed_by_size_with_where_they_run() -> None:
    table = top_edges(SMALL, EDGES, 4, "Δ p")
    assert (table.title, table.columns) == ("Largest edges", ("From", "To", "Score (Δ p)"))
    assert table.rows == (
        ("input", "blocks.0.mlp", -9.0),
        ("blocks.0.mlp", "logits", -4.0),
        ("blocks.0.attn.head.0", "logits", -3.0),
        ("blocks.0.attn.head.0", "blocks.0.mlp", 2.0),
    )
    assert len(top_edges(SMALL, EDGES, 999, "").rows) == EDGES.size


class Heard(Quiet):
    """Keeps what share of the run was told."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: list[float] = []

    def progress(self, fraction: float, message: str) -> None:
        self.shares.append(fraction)


def localized(heard: Heard | None = None, **options: Any) -> tuple[Findings, list[int]]:
    """Score three facts of which fact number i has i + 1 on one edge and −2 on another."""
    model, sizes = make_planted(), []
    order: list[str] = []

    def score(edges: Edges) -> np.ndarray:
        items = edges.bench.items
        sizes.append(len(items))
        assert set(edges.bench.base.sites) >= {"z", "attn_write", "mlp_write"}
        found = np.zeros((len(items), len(senders(model)), len(readers(model))))
        for i, item in enumerate(items):
            number = [f.id for f in FACTS[:3]].index(item.case.fact.id) + 1
            order.append(item.case.fact.id)
            found[i, senders(model).index(CARRY), -1] = -number
            found[i, senders(model).index(STORE), -1] = 0.5
        return found

    asked = EdgeOptions(**({"batch_size": 2, "min_probability": 0.0} | options))
    job = Job(0, heard or Quiet())
    found = localize_edges(model, FACTS[:3], asked, job, "eap", score)
    assert sorted(order) == sorted(f.id for f in FACTS[:3])
    return found, sizes


def test_edges_are_averaged_over_facts_and_the_largest_is_said() -> None:
    found, sizes = localized(top_edges=2)
    assert sizes == [2, 1]
    edges = found.arrays["edges"]
    assert [axis.name for axis in edges.axes] == ["sender", "reader"]
    model = make_planted()
    assert edges.axes[0].labels == tuple(senders(model))
    assert edges.axes[1].labels == tuple(readers(model))
    expected = np.zeros(edges.values.shape)
    expected[senders(model).index(CARRY), -1] = -2
    expected[senders(model).index(STORE), -1] = 0.5
    np.testing.assert_array_equal(edges.values, expected)
    assert (edges.unit, edges.title, edges.signed) == ("Δ logit difference", "Edges", True)
    assert found.tables["edges"].rows == ((CARRY, "logits", -2.0), (STORE, "logits", 0.5))
    assert found.tables["edges"].columns[2] == "Score (Δ logit difference)"
    assert found.caption == (
        f"Of 2 edges over 3 facts the largest runs from {CARRY} to logits (-2.000 Δ logit "
        f"difference)."
    )


@pytest.mark.parametrize(
    ("aggregate", "carried", "unit"),
    [("absolute", 2.0, "|Δ logit difference|"), ("signed", -2.0, "Δ logit difference")],
)
def test_components_are_sums_of_sizes_or_signed(aggregate: str, carried: float, unit: str) -> None:
    found, _ = localized(aggregate=aggregate)
    array = found.arrays["components"]
    scores = dict(zip(array.axes[0].labels, array.values.tolist(), strict=True))
    assert scores[CARRY] == scores["blocks.2.attn"] == carried
    assert scores[STORE] == 0.5 and scores["blocks.0.mlp"] == 0
    assert array.unit == unit and array.signed == (aggregate == "signed")
    assert found.attribution is not None and found.attribution.method == "eap"
    assert ("absolute" in found.attribution.direction) == (aggregate == "absolute")
    # Of each fact, in the order in which facts were asked for.
    each = found.arrays["components.facts"]
    place = each.axes[1].labels.index(CARRY)
    sign = 1 if aggregate == "absolute" else -1
    assert each.values[:, place].tolist() == [sign, 2 * sign, 3 * sign]


def test_operations_count_the_runs_forward_and_back_and_progress_is_told_by_batch() -> None:
    heard = Heard()
    one, _ = localized(heard, batch_size=3)
    many, _ = localized(batch_size=1)
    assert heard.shares[-1] == 1.0
    alone = []

    def score(edges: Edges) -> np.ndarray:
        alone.append(edges.bench.base.operations)
        model = make_planted()
        return np.ones((len(edges.bench.items), len(senders(model)), len(readers(model))))

    asked = EdgeOptions(batch_size=3, min_probability=0.0)
    localize_edges(make_planted(), FACTS[:3], asked, Job(0, Quiet()), "eap", score)
    assert one.attribution is not None and many.attribution is not None
    assert one.attribution.operations == 2 * alone[0] > 0
    assert many.attribution.operations == one.attribution.operations


def test_a_fact_that_nothing_changes_counts_in_no_mean() -> None:
    with_nothing = FACTS[0].model_copy(update={"id": "same"})
    model = make_planted()

    def score(edges: Edges) -> np.ndarray:
        found = np.zeros((len(edges.bench.items), len(senders(model)), len(readers(model))))
        for i, item in enumerate(edges.bench.items):
            found[i, 0, -1] = 99.0 if item.case.fact.id == "same" else 1.0
            if item.case.fact.id == "same":
                change = edges.bench.changes[i]
                edges.bench.changes[i] = type(change)(change.clean, change.clean, change.rounding)
        return found

    asked = EdgeOptions(min_probability=0.0)
    found = localize_edges(model, [with_nothing, FACTS[1]], asked, Job(0, Quiet()), "eap", score)
    assert found.arrays["edges"].values[0, -1] == 1.0
    assert [out.id for out in found.left_out] == ["same"]

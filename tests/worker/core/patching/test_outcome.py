"""From scores per fact to findings: roles, weights, means, the best of each kind, in numbers."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from worker.contract.errors import NotFinite
from worker.contract.facts import Fact
from worker.core.models.tokens import Prompt
from worker.core.patching.cases import Case, Prepared
from worker.core.patching.outcome import (
    NO_ROLE,
    PADDING,
    ROLES,
    Traced,
    best_components,
    build_findings,
    component_names,
    instead_table,
    kind_of,
    ordered,
    role_means,
    stack,
    traced_fact,
)

NOTHING: Any = None
NAN = math.nan


def case(name: str, length: int, subject: tuple[int, int], foil: int | None = None) -> Case:
    fact = Fact(id=name, subject=f"S {name}", prompt="{} is", target="yes", edit_target="no")
    prompt = Prompt("text", tuple(range(length)), tuple(f"t{i}" for i in range(length)), subject)
    return Case(fact, prompt, 3, foil)


LONG, SHORT = case("long", 7, (1, 5), 9), case("short", 3, (1, 2))
GRID = np.array([[9.0, 1, 2, 3, 4, 5, 6], [0, 10, 20, 40, 50, 60, 80]])


def traced() -> list[Traced]:
    names = ("blocks.0.attn", "blocks.0.attn.head.0", "blocks.0.mlp", "blocks.1.mlp")
    return [
        Traced(LONG, 0.75, 0.25, {"resid": GRID}, dict(zip(names, (0, -4, 1, 2), strict=True))),
        Traced(
            SHORT, 0.5, 0.0, {"resid": np.array([[7.0, 8, 9], [1, 2, 3]])},
            dict(zip(names, (1, 8, 5, -8), strict=True)),
        ),
    ]  # fmt: skip


def findings(**more: Any) -> Any:
    asked = {
        "method": "m", "metric": "probability", "unit": "Δ probability", "direction": "up",
        "operations": 12,
    } | more  # fmt: skip
    return build_findings(NOTHING, traced(), Prepared(), **asked)


def same(found: np.ndarray, expected: Any) -> None:
    np.testing.assert_allclose(found, expected)


def test_positions_are_averaged_by_role_and_a_role_without_one_is_unknown() -> None:
    assert ROLES[0].startswith("first subject") and ROLES[-1] == "last"
    same(role_means(GRID, LONG), [[1, 2.5, 4, 5, 6], [10, 30, 50, 60, 80]])
    same(role_means(np.array([[7.0, 8, 9]]), SHORT), [[NAN, NAN, 8, NAN, 9]])
    two = case("two", 4, (1, 3))
    same(role_means(np.array([[7.0, 8, 9, 1]]), two), [[8, NAN, 9, NAN, 1]])
    at_the_end = case("end", 3, (1, 3))
    same(role_means(np.array([[7.0, 8, 9]]), at_the_end), [[8, NAN, 9, NAN, 9]])


def test_grids_are_stacked_with_nothing_past_a_facts_last_position() -> None:
    found = stack([GRID, np.array([[7.0, 8, 9], [1, 2, 3]])])
    assert found.shape == (2, 2, 7) and found.dtype == np.float32
    same(found[0], GRID)
    same(found[1, 0], [7, 8, 9, NAN, NAN, NAN, NAN])
    with pytest.raises(NotFinite, match="Fact 2 of 2: its grid of scores has 1 NaN"):
        stack([GRID, np.array([[NAN], [1.0]])])


def test_means_weigh_all_facts_alike_or_as_given() -> None:
    alike, given = findings(), findings(weights=np.array([0.75, 0.25]))
    same(alike.arrays["components"].values, [0.5, 2, 3, -3])
    same(given.arrays["components"].values, [0.25, -1, 2, -0.5])
    same(alike.arrays["components.facts"].values, [[0, -4, 1, 2], [1, 8, 5, -8]])
    # A role that only one fact has is that fact's.
    same(alike.arrays["roles.resid"].values[0], [1, 2.5, 6, 5, 7.5])
    same(given.arrays["roles.resid"].values[0], [1, 2.5, 5, 5, 6.75])


def test_arrays_say_what_their_axes_and_gaps_are() -> None:
    arrays = findings().arrays
    assert list(arrays) == ["grid.resid", "roles.resid", "components", "components.facts"]
    grid, roles, mean, each = arrays.values()
    assert [axis.name for axis in grid.axes] == ["fact", "layer", "position"]
    assert grid.axes[0].labels == each.axes[0].labels == ("long", "short")
    assert [axis.name for axis in roles.axes] == ["layer", "role"]
    assert roles.axes[1].labels == ROLES
    assert (grid.title, roles.title) == ("Residual stream", "Residual stream by token role")
    assert (grid.gaps, roles.gaps) == (PADDING, NO_ROLE)
    assert [axis.name for axis in mean.axes] == ["component"]
    assert [axis.name for axis in each.axes] == ["fact", "component"]
    assert mean.axes[0].labels[:2] == ("blocks.0.attn", "blocks.0.attn.head.0")
    assert {array.unit for array in arrays.values()} == {"Δ probability"}
    assert all(array.signed for array in arrays.values())


def test_a_grid_may_have_a_unit_of_its_own_and_sizes_are_not_signed() -> None:
    arrays = findings(unit="|Δ probability|", grid_unit="Δ probability").arrays
    assert (arrays["grid.resid"].unit, arrays["components"].unit) == (
        "Δ probability", "|Δ probability|",
    )  # fmt: skip
    assert arrays["grid.resid"].signed and arrays["roles.resid"].signed
    assert not arrays["components"].signed and not arrays["components.facts"].signed


def test_without_grids_and_components_there_are_no_arrays() -> None:
    bare = [Traced(LONG, 0.5)]
    found = build_findings(
        NOTHING, bare, Prepared(), method="m", metric="probability", unit="Δ probability",
        direction="", operations=None,
    )  # fmt: skip
    assert found.arrays == {} and "components.unit" not in found.summary
    assert "metric.corrupted" not in found.summary and found.summary["operations"] is None


def test_the_summary_counts_facts_and_averages_the_metric() -> None:
    prepared = Prepared(instead={"a": "why"}, unreached={"b": "why", "c": "why"})
    prepared.leave_out(LONG.fact, "because")
    found = build_findings(
        NOTHING, traced(), prepared, method="m", metric="probability", unit="Δ probability",
        direction="up", operations=12,
    )  # fmt: skip
    assert found.summary == {
        "facts.traced": 2,
        "facts.left_out": 1,
        "corruption.random_instead": 1,
        "corruption.unreached": 2,
        "metric.clean": 0.625,
        "metric.corrupted": 0.125,
        "operations": 12,
        "components.top_mlp": "blocks.0.mlp",
        "components.top_mlp_score": 3.0,
        "components.top_attn": "blocks.0.attn",
        "components.top_attn_score": 0.5,
        "components.top_head": "blocks.0.attn.head.0",
        "components.top_head_score": 2.0,
        "components.unit": "Δ probability",
    }
    assert found.left_out == prepared.left_out and list(found.tables) == ["corruption", "unreached"]
    told = found.attribution
    assert (told.method, told.metric, told.direction) == ("m", "probability", "up")
    assert (told.unit, told.operations) == ("Δ probability", 12)
    assert [fact.id for fact in told.facts] == ["long", "short"]


def test_the_best_of_a_kind_is_the_largest_in_size() -> None:
    best = best_components(traced(), np.array([0.0, 1.0]), "nats")
    assert best["components.top_mlp"] == "blocks.1.mlp" and best["components.top_mlp_score"] == -8.0
    assert best["components.unit"] == "nats"
    assert best_components([Traced(LONG, 1.0)], np.array([1.0]), "nats") == {}
    kinds = [kind_of(name) for name in ("blocks.0.attn", "blocks.3.attn.head.1", "blocks.0.mlp")]
    assert kinds == ["attn", "head", "mlp"]


def test_components_are_named_in_the_models_order() -> None:
    model: Any = SimpleNamespace(n_layers=2, n_heads=2)
    assert component_names(model, heads=False) == [
        "blocks.0.attn", "blocks.0.mlp", "blocks.1.attn", "blocks.1.mlp",
    ]  # fmt: skip
    assert component_names(model, heads=True)[:5] == [
        "blocks.0.attn", "blocks.0.attn.head.0", "blocks.0.attn.head.1", "blocks.0.mlp",
        "blocks.1.attn",
    ]  # fmt: skip


def test_a_traced_fact_names_its_foil_only_where_one_was_measured() -> None:
    both, plain = traced_fact(traced()[0]), traced_fact(Traced(SHORT, 0.5))
    assert (both.id, both.label, both.answer, both.foil) == ("long", "S long", "yes", "no")
    assert (both.tokens, both.subject) == (LONG.prompt.tokens, (1, 5))
    assert (both.clean, both.corrupted) == (0.75, 0.25)
    assert (plain.foil, plain.clean, plain.corrupted) == ("", 0.5, None)


def test_what_was_corrupted_otherwise_is_told_with_the_reasons() -> None:
    assert instead_table(Prepared()) == {}
    tables = instead_table(Prepared(instead={"a": "no twin", "b": "none"}, unreached={"c": "x"}))
    assert tables["corruption"].title == "2 facts were corrupted with random tokens"
    assert tables["corruption"].columns == ("Fact", "Why")
    assert tables["corruption"].rows == (("a", "no twin"), ("b", "none"))
    assert tables["unreached"].title.startswith("1 facts share subject tokens")
    assert tables["unreached"].rows == (("c", "x"),)


def test_facts_come_back_in_the_order_they_were_asked_for_without_the_gone() -> None:
    first, second = traced()
    prepared = Prepared(cases=[LONG, case("gone", 3, (1, 2)), SHORT])
    found = ordered({"short": second, "long": first}, prepared)
    assert found == [first, second]

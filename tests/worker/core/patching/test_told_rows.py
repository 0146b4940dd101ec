"""Rows of a heatmap are told by fact, site and place, as far as they are known."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from worker.core.patching.told_rows import report_rows, row_reporter


class Heard:
    """A report that keeps what it is told in part."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def partial(self, name: str, data: dict[str, Any]) -> None:
        assert name == "grid"
        self.rows.append(data)


def case(name: str) -> Any:
    prompt = SimpleNamespace(tokens=("<s>", name, "is"), subject=(1, 2))
    return SimpleNamespace(fact=SimpleNamespace(id=name), prompt=prompt)


def bench(*names: str, offsets: tuple[int, ...] = (0, 1)) -> Any:
    items = [SimpleNamespace(case=case(name)) for name in names]
    base = SimpleNamespace(model=SimpleNamespace(n_layers=2))
    return SimpleNamespace(items=items, base=base, offsets=list(offsets))


VALUES = np.array([[1.0, 2.0, 3.0, 4.0, 99.0], [10.0, 20.0, 30.0, 40.0, 99.0]])
"""Of two facts: both layers of one site, of another, and a patch that follows."""


def told(values: np.ndarray, shown: int, scale: Any = 1.0) -> list[tuple[Any, ...]]:
    heard: Any = Heard()
    row_reporter(heard, bench("ann", "bo"), ["resid", "mlp"], shown, "Δ p", scale)(5, values)
    assert {row["unit"] for row in heard.rows} == {"Δ p"}
    return [(row["fact"], row["site"], row["position"], row["values"]) for row in heard.rows]


def test_each_facts_sites_are_told_at_its_own_position_without_the_padding() -> None:
    assert told(VALUES, 2) == [
        ("ann", "resid", 5, [1.0, 2.0]),
        ("ann", "mlp", 5, [3.0, 4.0]),
        ("bo", "resid", 4, [10.0, 20.0]),
        ("bo", "mlp", 4, [30.0, 40.0]),
    ]


def test_only_so_many_facts_are_told_and_none_that_is_not_known_there() -> None:
    assert {row[0] for row in told(VALUES, 1)} == {"ann"}
    unknown = VALUES.copy()
    unknown[0, 1] = np.nan
    assert {row[0] for row in told(unknown, 2)} == {"bo"}


def test_values_are_shares_of_each_facts_own_scale() -> None:
    found = told(VALUES, 2, np.array([2.0, 10.0]))
    assert [row[3] for row in found] == [[0.5, 1.0], [1.5, 2.0], [1.0, 2.0], [3.0, 4.0]]


def test_a_whole_grid_is_told_layer_by_layer_with_the_prompts_tokens() -> None:
    heard: Any = Heard()
    report_rows(heard, case("ann"), "attn", np.array([[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]]), "1")
    assert heard.rows == [
        {
            "fact": "ann",
            "site": "attn",
            "layer": layer,
            "values": values,
            "unit": "1",
            "tokens": ["<s>", "ann", "is"],
            "subject": [1, 2],
        }
        for layer, values in enumerate([[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]])
    ]

"""Small pieces that several evaluations need: statement asks, splits, per-state columns."""

import random
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.result import Comparison, Direction
from worker.core.asking.ask import listen
from worker.core.asking.before_after import State
from worker.core.asking.setting import Ask, ask_own
from worker.core.asking.statistics import compare
from worker.core.models.model import Model

Columns = dict[State, Float[np.ndarray, " fact"]]


def statements(facts: Sequence[Fact]) -> list[Ask]:
    """Ask each fact in its own prompt."""
    return [ask_own(fact) for fact in facts]


def statement_probabilities(
    model: Model, facts: Sequence[Fact]
) -> tuple[Float[np.ndarray, " fact"], Float[np.ndarray, " fact"]]:
    """Give the probabilities of each fact's target and edit target in its own prompt."""
    heard = listen(model, statements(facts))
    return np.array([h.target for h in heard]), np.array([h.edit for h in heard])


def halves(
    facts: Sequence[Fact], seed: int, field: str
) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
    """Cut facts in two by a seeded shuffle; raise UserError where there is only one."""
    if len(facts) < 2:
        raise UserError(
            f"{len(facts)} forget fact is asked for; half of them is trained on and the other "
            f"half measured: expected at least 2.",
            field=field,
        )
    order = random.Random(seed).sample(range(len(facts)), len(facts))
    first = set(order[: len(facts) // 2])
    return (
        tuple(f for i, f in enumerate(facts) if i in first),
        tuple(f for i, f in enumerate(facts) if i not in first),
    )


def compare_columns(
    name: str, title: str, better: Direction, columns: Columns, seed: int
) -> Comparison:
    """Compare per-fact values of the states there are."""
    return compare(name, title, better, columns.get("before"), columns.get("after"), seed=seed)

"""A small chaos; `tests/bench/bench_chaos.py` makes the large one."""

from typing import Any

import pytest

from tests.worker.engine.chaos import Chaotic


@pytest.mark.slow
def test_of_runs_that_are_killed_while_computed_by_unlike_workers_each_ends_once(
    fleet: Any,
) -> None:
    found = Chaotic(fleet, seed=0).go(n_runs=6, n_hits=5, seconds=300)
    assert sum(found.hits.values()) >= 5
    assert set(found.states.values()) == {"done"}
    assert (found.lost, found.twice, found.astray) == ([], {}, [])

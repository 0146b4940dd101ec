"""Fact lookup on the real model: knowledge rises over its layers, and noise does not."""

from typing import Any

import pytest

from worker.contract.progress import Quiet
from worker.contract.selection import select
from worker.core.facts import athletes, continents
from worker.core.findings import Job
from worker.core.localization.fact_lookup import Options, localize


def find(model: Any, fact_set: Any, n_facts: int) -> Any:
    chosen = select(fact_set, "first:2", 0).forget
    options = Options(probe_facts=n_facts, permutations=40, draws=2, bootstrap=20)
    return localize(model, chosen, options, Job(0, Quiet(), pool=fact_set.facts))


@pytest.mark.slow
def test_places_are_looked_up_in_layers_that_end_between_6_and_12(real_model: Any) -> None:
    found = find(real_model, continents.fact_set(), 190)
    assert found.summary["lookup.rise_found"] is True
    assert 6 <= found.summary["lookup.end"] <= 12
    assert found.attribution.suggested is not None


def test_athletes_whom_the_model_does_not_know_give_no_rise(real_model: Any) -> None:
    found = find(real_model, athletes.fact_set(), 60)
    assert "No rise found: the model does not know these facts" in found.caption
    assert found.attribution.suggested is None and "components" not in found.arrays

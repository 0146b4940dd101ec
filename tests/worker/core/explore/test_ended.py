"""A view that is ended at any of its reports leaves the model as it was, and answers again."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.worker.core.explore.plain import prompts_of
from worker.contract.errors import Cancelled
from worker.contract.inputs import AskExplore, Inputs
from worker.contract.progress import Event, Quiet
from worker.contract.settings import Settings
from worker.contract.spec import ExploreSpec
from worker.core.explore import _edge_scores
from worker.core.models.cache import ModelCache
from worker.core.models.model import Model
from worker.core.registry import methods
from worker.run import answer, open_models

VIEWS = sorted(n for n, m in methods("explore").items() if "prompt" in m.options.model_fields)

CELL = {"site": "mlp", "layer": 0, "token": 20}


@pytest.fixture(scope="module")
def models() -> ModelCache:
    return open_models(Settings())


def ends_at(last: int) -> Quiet:
    """A report that lets `last` events pass."""
    numbers: Iterator[int] = count()

    def tell(event: Event) -> None:
        if next(numbers) >= last:
            raise Cancelled("nobody waits for it")

    return Quiet(tell)


def n_hooks(model: Model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.hf.modules())


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_that_is_ended_at_any_report_leaves_the_model_as_it_was(
    view: str, models: ModelCache
) -> None:
    options: dict[str, object] = {**prompts_of("demo"), "cells": [CELL]}
    known = methods("explore")[view].options.model_fields
    chosen = {name: value for name, value in options.items() if name in known}
    spec = ExploreSpec(view=view, options=chosen)
    question = AskExplore(spec=spec, inputs=Inputs(out=""))
    told: list[Event] = []
    model = models.get("demo")
    first = answer(question, models, Quiet(told.append))
    before, hooks = model.state_hash, n_hooks(model)
    for last in sorted({0, len(told) // 2, len(told) - 1}):
        _edge_scores._kept.clear()
        with pytest.raises(Cancelled):
            answer(question, models, ends_at(last))
        assert models.get("demo") is model, "it stays loaded"
        assert model.state_hash == before
        assert n_hooks(model) == hooks, "none of its hooks is left on"
    again = answer(question, models)
    assert again.model_dump(exclude={"seconds", "paces", "peak_memory_bytes"}) == (
        first.model_dump(exclude={"seconds", "paces", "peak_memory_bytes"})
    )

"""What a visitor of an open house may ask."""

from typing import Any

import pytest

from worker.contract.errors import Forbidden
from worker.contract.menu import Announcement, ModelInfo
from worker.contract.spec import parse_spec
from worker.contract.visitors import Visit, narrowed, refuse_beyond

VISIT = Visit(("demo", "small"))
EXPLORE: dict[str, Any] = {"kind": "explore", "view": "lens", "options": {}}


def test_a_view_of_a_model_that_is_held_open_is_allowed_also_of_its_edits() -> None:
    refuse_beyond(VISIT, parse_spec({**EXPLORE, "model": "small"}))
    refuse_beyond(VISIT, parse_spec({**EXPLORE, "model": {"base": "demo", "edits": ["abc"]}}))


def test_another_model_and_its_edits_are_refused_by_name() -> None:
    for model in ("large", {"base": "large", "edits": ["abc"]}):
        with pytest.raises(Forbidden, match="'large'; expected 'demo' or 'small'") as refused:
            refuse_beyond(VISIT, parse_spec({**EXPLORE, "model": model}))
        assert refused.value.problems[0][0] == "model"


def test_no_run_is_computed_whatever_its_model() -> None:
    facts = {"set": "sports", "forget": "first:16"}
    run = {"kind": "localize", "model": "demo", "facts": facts, "method": "causal_tracing"}
    with pytest.raises(Forbidden, match="lethe run"):
        refuse_beyond(VISIT, parse_spec(run))


def test_no_other_model_is_offered() -> None:
    models = tuple(ModelInfo(id=id, title=id) for id in ("demo", "large"))
    menu = Announcement.model_construct(models=models)
    assert [one.id for one in narrowed(VISIT, menu).models] == ["demo"]

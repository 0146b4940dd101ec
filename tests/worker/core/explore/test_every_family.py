"""Every view of every family whose blocks are known: it shows something, or says why not."""

import pytest

from tests.worker.core.explore.plain import look_at, prompts_of
from tests.worker.core.models.families import FAMILIES, make_model
from worker.contract.errors import UserError
from worker.core.border import check_findings

ASKED = {
    "predictions": {},
    "lens": {},
    "patching": {"sites": ("resid", "attn", "mlp", "head")},
    "patch": {"cells": [{"layer": 1, "token": 6}, {"site": "mlp", "layer": 1, "token": 7}]},
    "decomposition": {},
    "heads": {"subject": "cd"},
    "head": {"subject": "cd", "layer": 1, "head": 1},
    "neurons": {"layer": 1},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_view_shows_numbers_or_says_why_it_cannot(family):
    model = make_model(family)
    for view, options in ASKED.items():
        try:
            found = look_at(view, model, **prompts_of("llama"), **options)
        except UserError as error:
            assert family == "opt_post_norm" and "not the sum" in error.message, (view, error)
            continue
        check_findings(found)
        assert found.view["prompts"][0]["tokens"] and found.caption

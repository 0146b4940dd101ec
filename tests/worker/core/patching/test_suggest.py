"""A localization's own mask: the components it names, with what they hold."""

import math

from tests.worker.core.localization.planted import FACTS, STORE, make_planted
from worker.core.models.components import component_parameters
from worker.core.patching.cases import prepare
from worker.core.patching.outcome import Traced
from worker.core.patching.suggest import suggest, traced_facts

HEAD = "blocks.2.attn.head.0"


def test_a_suggestion_holds_what_was_named_and_counts_its_parameters() -> None:
    model = make_planted()
    mask = suggest(model, (STORE, HEAD), "fact lookup")
    assert mask is not None and mask.components == (STORE, HEAD)
    parameters = component_parameters(model)
    assert parameters[STORE] == 3 * 32 * 16, "gate, up and down"
    assert mask.n_parameters == parameters[STORE] + parameters[HEAD]
    assert mask.source == "fact lookup"


def test_nothing_named_is_no_mask() -> None:
    assert suggest(make_planted(), [], "fact lookup") is None


def test_facts_are_told_in_the_order_in_which_they_were_traced() -> None:
    cases = prepare(make_planted(), FACTS[:2], 0.0, False).cases
    first, second = traced_facts([Traced(cases[1], 0.5), Traced(cases[0], 0.75, 0.25)])
    assert (first.id, first.clean, first.corrupted) == (FACTS[1].id, 0.5, None)
    assert (second.id, second.clean, second.corrupted) == (FACTS[0].id, 0.75, 0.25)
    assert math.isnan(Traced(cases[0], 0.5).corrupted)

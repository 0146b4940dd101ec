import numpy as np
import pytest

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization.path_patching import Options, localize


def patch(**options):
    return localize(make_planted(), FACTS, Options(**options), Job(0, Quiet()))


def scores(found):
    array = found.arrays["components"]
    return dict(zip(array.axes[0].labels, array.values, strict=True))


def test_the_planted_store_speaks_to_its_reader_and_the_reader_to_the_logits():
    to_logits = scores(patch())
    assert max(to_logits, key=lambda name: abs(to_logits[name])) in (CARRY, "blocks.2.attn")
    # The store stands at the subject; without the reader nothing of it comes to the last token.
    assert abs(to_logits[STORE]) < 0.05 * to_logits[CARRY]
    to_reader = scores(patch(receivers=(CARRY,)))
    assert max(to_reader, key=lambda name: abs(to_reader[name])) == STORE
    assert to_reader[STORE] == pytest.approx(to_logits[CARRY], rel=0.1)


def test_the_input_of_a_layer_receives():
    found = scores(patch(receiving_layer=2, through_mlps=False))
    assert max(found, key=lambda name: abs(found[name])) == STORE
    assert all(name.split(".")[1] in "01" for name in found)
    assert np.isfinite(list(found.values())).all()


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"senders": ("blocks.3.mlp",), "receiving_layer": 2}, "options.senders", "comes after"),
        ({"senders": ("blocks.9.mlp",)}, "options.senders", "no component"),
        ({"receivers": ("mlp.1",)}, "options.receivers", "is no component"),
        ({"receiving_layer": 9}, "options.receiving_layer", "layers 0 to 3"),
    ],
)
def test_paths_that_lead_nowhere_are_refused(options, field, words):
    with pytest.raises(UserError, match=words) as refused:
        patch(**options)
    assert refused.value.problems[0][0] == field

import pytest
import torch

from tests.worker.core.models.families import FAMILIES, make_model
from worker.core.models import prefix
from worker.core.training.forward import logits_at_answers, with_entering
from worker.core.training.pool import IGNORED, Row, pool


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [0, 1])
def test_a_shared_beginning_and_kept_hidden_states_change_no_logits(family, layer, monkeypatch):
    model = make_model(family)
    ids = [(*range(5, 13), *range(20 + i, 21 + i + i % 3)) for i in range(4)]
    rows = [Row(row, (*[IGNORED] * (len(row) - 1), 3)) for row in ids]
    kept = with_entering(model, pool(model, rows), layer)
    batch = kept.batch(torch.arange(4))
    assert (batch.hidden is not None) == (layer > 0)
    with torch.no_grad():
        whole = logits_at_answers(model, batch, layer, share=False)
        monkeypatch.setattr(prefix, "LEAST_SAVED", 8)
        shared = logits_at_answers(model, batch, layer)
    assert torch.allclose(shared, whole, atol=1e-4)

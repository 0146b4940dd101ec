import pytest
import torch

from tests.worker.core.models.families import FAMILIES, make_model
from worker.core.closed_form.tail import Tail
from worker.core.closed_form.values import adding
from worker.core.training.forward import logits_at_answers, with_entering
from worker.core.training.pool import IGNORED, Row, pool

LENGTHS = (4, 9, 7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [0, 1])
def test_running_the_last_positions_again_gives_the_logits_of_whole_rows(family, layer) -> None:
    model = make_model(family)
    rows = [Row(tuple(range(5 + n, 5 + 2 * n)), (*[IGNORED] * (n - 1), 3)) for n in LENGTHS]
    batch = with_entering(model, pool(model, rows), layer).batch(torch.arange(len(rows)))
    tail = Tail(model, batch, layer, 3)
    delta = torch.randn(len(rows), model.d_model)
    for added in (0 * delta, delta, 2 * delta):  # several times: what is kept must not grow
        with torch.no_grad(), adding(model, layer, added, [2, 3, 1]):
            whole = logits_at_answers(model, batch, layer, share=False)
            again = tail.logits()
        assert torch.allclose(again, whole, atol=1e-4)


def test_gradients_of_a_value_are_those_of_whole_rows() -> None:
    model = make_model("llama")
    rows = [Row(tuple(range(5 + n, 5 + 2 * n)), (*[IGNORED] * (n - 1), 3)) for n in LENGTHS]
    batch = pool(model, rows).batch(torch.arange(len(rows)))
    tail, found = Tail(model, batch, 0, 3), []
    for run in (tail.logits, lambda: logits_at_answers(model, batch, 0, share=False)):
        delta = torch.zeros(len(rows), model.d_model, requires_grad=True)
        with adding(model, 0, delta, [2, 3, 1]):
            run().logsumexp(-1).sum().backward()
        found.append(delta.grad)
    assert found[0].abs().max() > 0
    assert torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-5)

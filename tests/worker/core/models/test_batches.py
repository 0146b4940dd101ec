import pytest
import torch

from tests.worker.core.models.families import make_model
from worker.core.asking.scoring import score_answers
from worker.core.models.batches import fitting, in_batches, scaled


def test_a_batch_that_is_too_large_is_halved_and_the_size_remembered():
    model, seen = make_model("llama", seed=3), []

    def run(items):
        if len(items) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        seen.append(items)

    assert in_batches(model, "test", list(range(10)), 8, run) == 2
    assert [item for items in seen for item in items] == list(range(10))
    assert all(len(items) <= 2 for items in seen)
    assert in_batches(model, "test", [1], 8, run) == 2


def test_one_item_that_does_not_fit_and_other_errors_are_raised():
    model = make_model("llama", seed=3)

    def run(items):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        in_batches(model, "one", [1, 2], 2, run)
    with pytest.raises(ZeroDivisionError):
        in_batches(model, "other", [1], 2, lambda items: 1 / 0)


def test_a_run_that_begins_again_takes_smaller_batches_and_finds_the_same():
    model, sizes = make_model("llama", seed=3), []
    items = [("one two", " three"), ("two", " one"), ("three one", " two"), ("one", " two")]
    whole = score_answers(model, items)
    with scaled(0.25):
        assert fitting(64) == 16 and fitting(2) == 1
        in_batches(model, "scaled", [1, 2, 3, 4], 8, lambda part: sizes.append(len(part)))
        halved = score_answers(model, items, batch_size=4)
    assert sizes == [2, 2] and fitting(64) == 64
    torch.testing.assert_close(halved.log_prob, whole.log_prob)

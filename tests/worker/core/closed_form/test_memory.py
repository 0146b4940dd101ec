"""Reading the text that keys' second moments are taken of."""

import pytest
import torch

from tests.worker.core.measured import forget_all
from worker.contract.progress import Quiet
from worker.core.closed_form import memory
from worker.core.findings import Job
from worker.core.models.model import Model

TEXT = "\n".join(["go we then", "we go and the man went", "the man and we go then"] * 6)
LONGEST = max(len(line.split()) for line in TEXT.splitlines()) + 1


def test_moments_are_read_in_batches_of_bounded_tokens_and_are_the_same_whatever_the_bound(
    build_model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Model = build_model("llama")
    read: list[int] = []
    run = memory._run_with_inputs

    def noting(model: Model, ids: torch.Tensor, *rest: object) -> object:
        read.append(ids.numel())
        return run(model, ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(memory, "_run_with_inputs", noting)
    found = []
    for most in (2048, 3 * LONGEST):
        forget_all()
        read.clear()
        monkeypatch.setattr(memory, "READ_TOGETHER", most)
        job = Job(seed=0, report=Quiet())
        found.append(memory.second_moments(model, [0, 1], job, 90, own=TEXT))
        assert max(read) <= most
        assert len(read) > 4 or most == 2048
    for layer in (0, 1):
        torch.testing.assert_close(found[0][layer], found[1][layer], rtol=1e-5, atol=1e-7)

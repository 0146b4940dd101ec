"""The one loop: rows in turn, clipped steps under a cosine, and a step that is no number."""

import math

import pytest
import torch

from worker.core.training.loop import Draw, Loop, Losses, Step


@pytest.mark.parametrize(("n_rows", "size"), [(5, 2), (4, 4), (3, 7), (7, 3)])
def test_every_row_is_drawn_once_before_any_comes_twice(n_rows: int, size: int) -> None:
    generator, draw = torch.Generator().manual_seed(0), Draw(n_rows, size)
    drawn = [place for _ in range(2 * n_rows) for place in draw.take(generator)]
    assert len(drawn) == 2 * n_rows * min(n_rows, size)
    rounds = [drawn[i : i + n_rows] for i in range(0, len(drawn), n_rows)]
    assert all(sorted(one) == list(range(n_rows)) for one in rounds)
    assert n_rows < 5 or len({tuple(one) for one in rounds}) > 1


def downhill(rate: float = 0.5, **more: object) -> tuple[torch.nn.Parameter, Loop]:
    """A loop that pulls one number to 0; its gradient is 3, above the bound of 1."""
    place = torch.nn.Parameter(torch.tensor([10.0]))
    optimizer = torch.optim.SGD([place], lr=rate)
    return place, Loop([place], optimizer, steps=4, clip=1.0, **more)  # type: ignore[arg-type]


def pull(place: torch.nn.Parameter, scale: float = 3.0) -> Losses:
    loss = scale * place.sum()
    loss.backward()
    return {"loss": float(loss.detach())}


def test_steps_are_clipped_and_fall_by_a_cosine() -> None:
    place, loop = downhill()
    steps: list[Step] = []
    loop.run(lambda: pull(place), lambda step: steps.append(step))
    rates = [0.5 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)]
    assert float(place.detach()) == pytest.approx(10 - sum(rates), abs=1e-5)
    assert [(one.number, one.norm) for one in steps] == [(i, 3.0) for i in (1, 2, 3, 4)]
    assert steps[0].losses == {"loss": 30.0}


def test_without_a_cosine_steps_are_alike_and_each_is_written_down() -> None:
    seen: list[float] = []
    place, loop = downhill(cosine=False, written=lambda: seen.append(float(place.detach())))
    loop.run(lambda: pull(place), lambda step: step.number == 3)
    assert seen == pytest.approx([9.5, 9.0, 8.5], abs=1e-5)
    assert loop.at == 3, "the one that was told to stop after it"


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_step_that_is_no_number_is_told_and_not_taken(scale: float) -> None:
    written: list[bool] = []
    place, loop = downhill(written=lambda: written.append(True))
    told: list[Step] = []
    loop.run(lambda: pull(place, scale), lambda step: bool(told.append(step)) or True)
    assert (float(place.detach()), written, len(told)) == (10.0, [], 1)
    assert not told[0].is_finite and not math.isfinite(told[0].losses["loss"])


def test_an_optimizer_that_writes_without_counting_is_counted() -> None:
    place = torch.nn.Parameter(torch.tensor([1.0]))
    loop = Loop([place], torch.optim.AdamW([place], fused=True), steps=1, clip=1.0)
    before = place._version
    loop.run(lambda: pull(place), lambda step: None)
    assert place._version > before


def test_a_step_is_finite_only_where_both_its_norm_and_every_loss_are() -> None:
    assert Step(1, {"a": 1.0, "b": 2.0}, 3.0).is_finite and Step(1, {}, 0.0).is_finite
    for losses, norm in (({"a": 1.0}, math.inf), ({"a": 1.0, "b": math.nan}, 3.0)):
        assert not Step(1, losses, norm).is_finite

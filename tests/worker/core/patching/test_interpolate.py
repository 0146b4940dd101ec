"""Points on a straight line, and the sum that they are taken for."""

import torch

from worker.core.patching.interpolate import interpolate

START, STOP = torch.tensor([0.0, 4.0]), torch.tensor([4.0, 0.0])


def test_middles_lie_within_and_left_ends_begin_at_the_start() -> None:
    middles = interpolate(START, STOP, 2, "middle")
    assert [point.tolist() for point in middles] == [[1.0, 3.0], [3.0, 1.0]]
    ends = interpolate(START, STOP, 4, "left")
    assert [point[0].item() for point in ends] == [0.0, 1.0, 2.0, 3.0]


def test_middles_integrate_a_square_to_second_order() -> None:
    values = [point[0].item() ** 2 * 4 / 64 for point in interpolate(START, STOP, 64, "middle")]
    assert abs(sum(values) - 64 / 3) < 0.01

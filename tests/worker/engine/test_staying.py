"""When a worker ends by itself, by a clock of the test's own."""

import pytest

from worker.contract.errors import UserError
from worker.engine.staying import Stay


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_limits_it_stays(clock: Clock) -> None:
    stay = Stay(clock=clock, age=0)
    clock.now += 1e9
    assert stay.takes_runs() and stay.over(busy=False, holds=False) == ""


def test_it_ends_when_nothing_was_to_do_for_so_long_since_it_had_something(clock: Clock) -> None:
    stay = Stay(idle=10, clock=clock, age=0)
    for busy, holds in ((True, False), (False, True)):
        clock.now += 9
        assert stay.over(busy=False, holds=False) == ""
        clock.now += 9
        assert stay.over(busy=busy, holds=holds) == ""
    clock.now += 10
    assert stay.over(busy=False, holds=False) == "nothing was to do for 10 s"


@pytest.mark.parametrize(("most", "last", "rest"), [(100.0, 10, 5), (86400.0, 600, 60)])
def test_near_its_time_it_takes_nothing_new_and_hands_back_what_it_holds(
    clock: Clock, most: float, last: float, rest: float
) -> None:
    stay = Stay(most=most, clock=clock, age=7.0)
    clock.now += most - 7 - last - 1
    assert stay.takes_runs() and stay.over(busy=False, holds=False) == ""
    clock.now += 1
    assert not stay.takes_runs()
    assert stay.over(busy=True, holds=True) == "", "it may finish what it has"
    assert "takes no new run" in stay.over(busy=True, holds=False)
    clock.now += last - rest
    assert "is handed back" in stay.over(busy=True, holds=True)


def test_its_time_counts_from_the_process_start(clock: Clock) -> None:
    assert Stay(most=1000.0, clock=clock, age=0).takes_runs()
    assert not Stay(most=1000.0, clock=clock, age=950).takes_runs()


def test_what_a_command_line_gives_is_read_or_refused_by_its_name() -> None:
    assert Stay.given(None, "").takes_runs()
    with pytest.raises(UserError, match="--exit-when-idle is 'soon'"):
        Stay.given("soon", None)

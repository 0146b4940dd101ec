"""How often the engine looks, and that no run has two who compute it."""

import pytest
from pydantic import ValidationError

from worker.engine.timing import Timing

NAMES = list(Timing.model_fields)


@pytest.mark.parametrize("name", NAMES)
def test_every_time_is_longer_than_nothing(name: str) -> None:
    with pytest.raises(ValidationError):
        Timing(**{name: 0})


@pytest.mark.parametrize(
    ("beat", "lease", "stale", "sound"),
    [(1, 2, 3, True), (1, 1.9, 3, False), (1, 2, 2, False), (1, 3, 2, False), (5, 2, 3, False)],
)
def test_a_silent_workers_run_has_ended_before_another_begins_it(
    beat: float, lease: float, stale: float, sound: bool
) -> None:
    if sound:
        assert Timing(beat=beat, lease=lease, stale=stale).lease == lease
        return
    with pytest.raises(ValidationError, match="expected 2 beat <= lease < stale"):
        Timing(beat=beat, lease=lease, stale=stale)


def test_what_is_usual_is_quick_to_look_and_slow_to_take_for_dead() -> None:
    usual = Timing()
    assert usual.poll < 1 < usual.beat < usual.lease < usual.stale <= 60
    assert usual.keep_jobs == 7 * 24 * 3600
    assert (usual.grace, usual.reap, usual.respawn, usual.question) == (10, 5, 5, 120)


@pytest.mark.parametrize("name", sorted(set(Timing.model_fields) - {"beat", "lease", "stale"}))
def test_every_time_is_longer_than_none_and_may_be_short(name: str) -> None:
    assert getattr(Timing.model_validate({name: 0.001}), name) == 0.001
    with pytest.raises(ValidationError, match="greater than 0"):
        Timing.model_validate({name: 0})


def test_heartbeats_may_be_short_and_their_usual_times_are_in_proportion() -> None:
    short = Timing(beat=0.001, lease=0.002, stale=0.003)
    assert (short.beat, short.lease, short.stale) == (0.001, 0.002, 0.003)
    for name in ("beat", "lease", "stale"):
        with pytest.raises(ValidationError, match="greater than 0"):
            Timing.model_validate({"beat": 0.001, "lease": 0.002, "stale": 0.003} | {name: 0})
    usual = Timing()
    assert (usual.poll, usual.beat, usual.lease, usual.stale) == (0.25, 3, 30, 45)

"""What a supervisor adds to progress: it never goes back, and what is left is believable."""

import pytest

from worker.contract.progress import Event
from worker.engine import runner
from worker.engine.runner import Telling


def progress(fraction: float, seconds: float | None = None) -> Event:
    return Event(type="progress", fraction=fraction, message="", seconds_left=seconds)


def told(telling: Telling, *events: Event) -> list[tuple[float | None, float | None]]:
    found = telling.complete(events)
    return [(e.fraction, e.seconds_left) for e in found if e.type == "progress"]


def test_progress_never_goes_back() -> None:
    telling = Telling()
    done = told(telling, *(progress(share) for share in (0.0, 0.4, 0.1, 0.39, 0.5)))
    assert [fraction for fraction, _ in done] == [0.0, 0.4, 0.4, 0.4, 0.5]


def test_a_stage_that_just_began_does_not_decide_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    telling = Telling()
    assert told(telling, progress(0.0, 100.0)) == [(0.0, 100.0)]
    told(telling, progress(0.001))
    now[0] = 0.1  # three hundredths in a tenth of a second: by its pace alone, 3 s would be left
    ((_, left),) = told(telling, progress(0.031))
    assert left is not None and 75 < left < 100
    now[0] = 50.0
    ((_, left),) = told(telling, progress(0.9))
    assert left is not None and 4 < left < 8


def test_without_a_word_beforehand_the_pace_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    telling = Telling()
    assert told(telling, progress(0.1)) == [(0.1, None)]
    now[0] = 10.0
    assert told(telling, progress(0.6)) == [(0.6, 8.0)]

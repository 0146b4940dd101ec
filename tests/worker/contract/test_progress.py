"""What a job says while it computes, and what a part of it says of the whole."""

from typing import Any

import pytest

from worker.contract.progress import FINAL_STATES, Event, Quiet, Within


def told() -> tuple[Quiet, list[dict[str, Any]]]:
    events: list[dict[str, Any]] = []
    return Quiet(lambda event: events.append(event.model_dump(exclude_defaults=True))), events


def test_each_call_is_one_event() -> None:
    quiet, events = told()
    quiet.progress(0.25, "tracing")
    quiet.expect(30.0)
    quiet.partial("row", [1, 2])
    quiet.log("a line")
    assert events == [
        {"type": "progress", "fraction": 0.25, "message": "tracing"},
        {"type": "progress", "fraction": 0.0, "message": "begins", "seconds_left": 30.0},
        {"type": "partial", "name": "row", "data": [1, 2]},
        {"type": "log", "message": "a line"},
    ]


def test_who_gives_no_function_is_told_nothing() -> None:
    Quiet().progress(0.5, "unheard")


@pytest.mark.parametrize(("given", "said"), [(-0.5, 0.0), (0.0, 0.0), (1.0, 1.0), (1.5, 1.0)])
def test_a_fraction_stays_between_nothing_and_all(given: float, said: float) -> None:
    quiet, events = told()
    quiet.progress(given, "m")
    Within(quiet, (0.5, 0.7), "part").progress(given, "m")
    assert events[0]["fraction"] == said
    assert events[1]["fraction"] == pytest.approx(0.5 + 0.2 * said)


def test_a_parts_progress_goes_into_its_share_under_its_own_words() -> None:
    quiet, events = told()
    part = Within(quiet, (0.2, 0.6), "tracing")
    part.progress(0.5, "layer 3")
    part.log("a line")
    part.expect(5.0)
    part.partial("row", 1)
    assert events == [
        {"type": "progress", "fraction": pytest.approx(0.4), "message": "tracing: layer 3"},
        {"type": "log", "message": "tracing: a line"},
    ]


def test_an_event_says_only_what_happened_and_an_interrupted_run_is_not_over() -> None:
    assert Event(type="log").model_dump(exclude={"type"}) == {
        "state": None,
        "message": "",
        "fraction": None,
        "seconds_left": None,
        "name": "",
        "data": None,
    }
    assert {"done", "failed", "cancelled"} == FINAL_STATES

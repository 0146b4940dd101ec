"""A run that waits is moved to a worker, which alone takes it while it lives and can."""

from typing import Any

import pytest

from tests.worker.engine.test_handing import _queue, two
from worker.contract.errors import Conflict, Forbidden, NotFound, UserError
from worker.engine.handing import Handing
from worker.engine.queue import RUNS, queue_of
from worker.engine.study.built_in import built_in_study
from worker.store.acting import Acting
from worker.store.turns import Waiting

__all__ = ["two"]


def test_a_moved_run_is_taken_by_that_worker_alone_and_by_any_when_it_dies(
    two: Any, fleet: Any
) -> None:
    first, second = Handing(two.store, "w1", "of w1"), Handing(two.store, "w2", "of w2")
    run_id = fleet.submit()
    two.move(run_id, "w2", "ada")
    assert two.store.run(run_id).moved_to == "w2"
    assert "Moved to w2 by ada." in two.store.log(run_id)
    assert first.hand() is None
    assert not first._take(Waiting(run_id, "", "localize", 1, 0.0, False)), "it was moved meanwhile"
    two.move(run_id, "", "ada")
    assert first.hand() == run_id
    other = fleet.submit()
    two.move(other, "w1", "ada")
    assert second.hand() is None
    two.store.release_worker("w1", "of w1")
    assert second.hand() == other


def test_a_run_that_stands_before_a_worker_that_has_not_begun_it_is_moved_to_another(
    two: Any, fleet: Any
) -> None:
    first, second = Handing(two.store, "w1", "of w1"), Handing(two.store, "w2", "of w2")
    run_id = fleet.submit()
    assert first.hand() == run_id and _queue(two, run_id) == queue_of("w1")
    two.move(run_id, "w2", "ada")
    assert _queue(two, run_id) == RUNS
    assert (first.hand(), second.hand()) == (None, run_id)


def test_what_cannot_be_moved_is_refused_in_words(two: Any, fleet: Any) -> None:
    run_id = two.submit(fleet.spec(method="other"))
    with pytest.raises(UserError, match="No worker that is alive and ready 'w9'"):
        two.move(run_id, "w9", "ada")
    with pytest.raises(UserError, match=r"w1 cannot compute run .*: it does not have the local"):
        two.move(run_id, "w1", "ada")
    with pytest.raises(NotFound):
        two.move("nothing", "w1", "ada")
    member = two.of_session("", Acting("max", may_all=False))
    with pytest.raises(Forbidden, match="for admins"):
        member.move(run_id, "", "max")
    two.cancel(run_id)
    with pytest.raises(Conflict, match="is cancelled; expected one that waits"):
        two.move(run_id, "", "ada")
    study = two.submit(built_in_study("paper_comparison"))
    with pytest.raises(Conflict, match="takes no device"):
        two.move(study, "w1", "ada")


def test_a_run_that_a_worker_begins_is_not_taken_away_from_it(fleet: Any) -> None:
    fleet.start("w1")
    run_id = fleet.submit(steps=100_000, pause=0.05)
    fleet.state(run_id, "running")
    with pytest.raises(Conflict, match="is running; expected one that waits"):
        fleet.engine.move(run_id, "w1", "ada")
    fleet.engine.cancel(run_id)
    fleet.state(run_id, "cancelled")

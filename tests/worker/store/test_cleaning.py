"""What is let go of, and all that stays."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from worker.contract.mask import Mask
from worker.contract.selection import FactsSpec
from worker.contract.spec import LocalizeSpec
from worker.store.cleaning import Plan, Retention, carry_out, plan
from worker.store.runs import insert_run
from worker.store.store import Store
from worker.store.tables import Run

DAY = 86400.0
SPEC = LocalizeSpec(facts=FactsSpec(set="tiny"), method="m")


def add(store: Store, days: float, parents: Sequence[str] = (), **values: Any) -> str:
    """A run that ended so many days ago, with a file of four bytes."""
    with store.database.write() as session:
        id = insert_run(
            session, SPEC, owner="", title="", tags=(), parents=parents, priority=1, browser=""
        )
        ended = time.time() - days * DAY
        given = {"state": "done", "created": ended - 1, "finished": ended, **values}
        session.execute(sa.update(Run).where(Run.id == id).values(given))
    store.artifacts.put_bytes(f"runs/{id}/x", b"four")
    return id


def age(store: Store, tmp_path: Path, name: str, days: float) -> None:
    """Make a file so old."""
    path = store.artifacts.local(name)
    os.utime(path, (time.time() - days * DAY,) * 2)


def test_old_finished_runs_go_to_the_archive_and_no_others(store: Store) -> None:
    old = [add(store, 91), add(store, 100, state="failed"), add(store, 95, state="cancelled")]
    for stays in ({"starred": True}, {"state": "queued"}, {"archived": True}):
        add(store, 100, **stays)
    young = add(store, 89)
    found = plan(store, Retention(archive_after=90 * DAY))
    assert set(found.archive) == set(old)
    assert (found.delete, found.needed, found.files, found.bytes) == ((), (), (), 0)
    assert not any(store.run(id).archived for id in old), "a plan changes nothing"
    assert carry_out(store, found) == []
    assert all(store.run(id).archived for id in old) and not store.run(young).archived
    assert plan(store, Retention(archive_after=90 * DAY)).archive == ()


def test_a_run_that_never_began_counts_from_when_it_was_submitted(store: Store) -> None:
    never = add(store, 10, state="cancelled", finished=None)
    assert plan(store, Retention(archive_after=9 * DAY)).archive == (never,)
    assert plan(store, Retention(archive_after=11 * DAY)).archive == ()


def test_archived_runs_are_deleted_with_their_files_what_was_made_first_last(store: Store) -> None:
    trace = add(store, 400, archived=True)
    edit = add(store, 399, [trace], archived=True)
    probe = add(store, 398, [edit, trace], archived=True)
    shown = add(store, 400)
    found = plan(store, Retention(delete_after=365 * DAY))
    assert found == Plan(delete=(probe, edit, trace), bytes=12)
    said: list[str] = []
    assert carry_out(store, found, said.append) == []
    assert [run.id for run in store.runs(archived=None)] == [shown]
    assert store.artifacts.every() == [f"runs/{shown}/x"]
    assert said[-1] == "deleted 3 of 3 runs"


@pytest.mark.parametrize("keeps", ["young", "starred", "not archived", "a mask"])
def test_what_something_names_that_stays_is_needed_through_every_step(
    store: Store, keeps: str
) -> None:
    trace = add(store, 400, archived=True)
    edit = add(store, 399, [trace], archived=True)
    other = add(store, 400, archived=True)
    if keeps == "a mask":
        store.save_mask("m", "demo", Mask(components=("a",), n_parameters=1), localization=edit)
    else:
        days, values = {
            "young": (1, {"archived": True}),
            "starred": (400, {"archived": True, "starred": True}),
            "not archived": (400, {}),
        }[keeps]
        add(store, days, [edit], **values)
    found = plan(store, Retention(delete_after=365 * DAY))
    assert found.delete == (other,) and found.needed == (edit, trace)
    assert carry_out(store, found) == []
    assert store.run(trace).archived and store.run(edit).archived


def test_files_go_that_no_run_text_or_upload_names_and_that_are_not_just_written(
    store: Store, tmp_path: Path
) -> None:
    run = add(store, 1)
    store.save_text("book", "A text of some words to forget. " * 30)
    kept = store.artifacts.every()
    left = ["runs/gone/arrays.npz", "runs/gone/sub/x", "texts/gone/text.txt", "uploads/u/file"]
    begun, others = f"runs/{run}/.x.1f", ["runs/now/x", "of/others"]
    for name in (*left, begun, *others):
        store.artifacts.put_bytes(name, b"123")
    for name in (*left, begun, *kept, "of/others"):
        age(store, tmp_path, name, 2)
    found = plan(store, Retention(files=True))
    assert found.files == tuple(sorted([*left, begun])) and found.bytes == 15
    assert carry_out(store, found) == []
    assert store.artifacts.every(begun=True) == sorted([*kept, *others])
    assert not store.artifacts.local("of/others").parents[1].joinpath("runs/gone").exists()
    assert store.text("book").startswith("A text")


def test_what_changed_since_the_plan_is_said_and_the_rest_done(store: Store) -> None:
    trace, gone, other = (add(store, 400, archived=True) for _ in range(3))
    found = plan(store, Retention(delete_after=365 * DAY))
    store.delete_run(gone)
    add(store, 0, [trace])
    refused = carry_out(store, found)
    assert len(refused) == 1 and f"Run {trace} cannot be deleted" in refused[0]
    assert {run.id for run in store.runs(archived=True)} == {trace}
    assert other in found.delete

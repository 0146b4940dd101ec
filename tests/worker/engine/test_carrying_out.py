"""A supervisor's ordinary life: runs that end well, badly, and because they were cancelled."""

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from worker.contract.errors import NotFound, UserError
from worker.contract.mask import MaskRule, MaskSpec
from worker.contract.selection import FactsSpec
from worker.contract.spec import StudySpec, UnlearnSpec
from worker.contract.study import StudyMask, StudyMethod


def test_a_run_is_computed_and_its_result_and_files_are_kept(busy: Any) -> None:
    run_id = busy.submit()
    record = busy.state(run_id, "done")
    assert (record.fraction, record.attempt, record.worker) == (1.0, 1, "w1")
    result = busy.store.result(run_id)
    assert result.summary["fake.steps"] == 4
    with busy.store.artifacts.open(f"runs/{run_id}/arrays.npz") as file:
        assert file.read() == b"arrays of " + run_id.encode()
    busy.wait(lambda: not list((busy.data / "work" / "w1").iterdir()))


def test_events_have_no_gaps_and_are_resumed_from_any_offset(busy: Any) -> None:
    run_id = busy.submit(steps=30, pause=0.02)
    busy.state(run_id, "done")
    events = busy.engine.events(run_id)
    assert [offset for offset, _ in events] == list(range(len(events)))
    states = [event.state for _, event in events if event.type == "state"]
    assert states == ["queued", "loading", "running", "done"]
    steps = [event.data["step"] for _, event in events if event.type == "partial"]
    assert steps == list(range(30))
    fractions = [event.fraction for _, event in events if event.type == "progress"]
    assert fractions == sorted(fractions)
    for offset in (-1, 0, 7, len(events) - 1):
        assert busy.engine.events(run_id, offset) == events[offset + 1 :]


def test_a_follower_that_comes_back_misses_nothing_and_sees_nothing_twice(busy: Any) -> None:
    run_id = busy.submit(steps=20, pause=0.05)

    async def follow(after: int, stop: int | None) -> list[int]:
        seen = []
        async for offset, _ in busy.engine.follow(run_id, after):
            seen.append(offset)
            if stop is not None and len(seen) == stop:
                break
        return seen

    first = asyncio.run(follow(-1, 5))
    rest = asyncio.run(follow(first[-1], None))
    assert first + rest == list(range(len(busy.engine.events(run_id))))
    assert busy.store.run(run_id).state == "done"
    assert asyncio.run(follow(rest[-1], None)) == []


def test_a_follower_hears_of_events_while_the_run_computes(busy: Any) -> None:
    run_id = busy.submit(steps=1000, pause=0.02)

    async def first_steps() -> list[int]:
        steps: list[int] = []
        async for _, event in busy.engine.follow(run_id):
            if event.type == "partial":
                steps.append(event.data["step"])
            if len(steps) == 3:
                break
        return steps

    assert asyncio.run(first_steps()) == [0, 1, 2]
    assert busy.store.run(run_id).state == "running"
    busy.engine.cancel(run_id)
    busy.state(run_id, "cancelled")


def test_what_the_user_got_wrong_fails_with_its_sentence_and_is_not_tried_again(busy: Any) -> None:
    run_id = busy.submit(**{"raise": "user"})
    record = busy.state(run_id, "failed")
    assert record.message == "The subject is not in its prompt."
    assert busy.starts(run_id) == 1


def test_a_bug_fails_with_the_run_id_and_leaves_its_traceback_in_the_log(busy: Any) -> None:
    run_id = busy.submit(**{"raise": "bug"})
    record = busy.state(run_id, "failed")
    assert "KeyError: 'layer'" in record.message and run_id in record.message
    assert any("Traceback" in line for line in busy.store.log(run_id))
    assert busy.starts(run_id) == 1


def test_a_diverged_training_fails_with_its_reason(busy: Any) -> None:
    record = busy.state(busy.submit(**{"raise": "diverged"}), "failed")
    assert record.message == "The loss became NaN at step 3; the base is untouched."


def test_a_mask_that_does_not_resolve_fails_with_its_sentence(busy: Any) -> None:
    spec = UnlearnSpec(
        facts=FactsSpec(set="tiny", forget="first:1"),
        mask=MaskSpec(components=("blocks.7.mlp",)),
        method="fake",
    )
    record = busy.state(busy.engine.submit(spec), "failed")
    assert "blocks.7.mlp" in record.message


def test_after_running_out_of_memory_the_batch_is_halved_until_it_fits(busy: Any) -> None:
    run_id = busy.submit(fits=0.3)
    record = busy.state(run_id, "done")
    assert busy.store.log(run_id) == [
        "start 1 at scale 1.0",
        "start 2 at scale 0.5",
        "start 3 at scale 0.25",
    ]
    assert record.attempt == 3


def test_a_compute_process_that_dies_is_replaced_and_the_run_tried_twice_more(busy: Any) -> None:
    run_id = busy.submit(die=2)
    busy.state(run_id, "done")
    pids = [note["pid"] for note in busy.notes(run_id) if note["what"] == "start"]
    assert len(set(pids)) == 3
    states = [e.state for _, e in busy.engine.events(run_id) if e.type == "state"]
    assert states.count("interrupted") == 2


def test_a_run_that_always_kills_its_process_fails_with_its_reason_and_log_tail(busy: Any) -> None:
    run_id = busy.submit(die=99, signal=signal.SIGSEGV)
    record = busy.state(run_id, "failed")
    assert busy.starts(run_id) == 3
    assert "SIGSEGV" in record.message and "3 times" in record.message
    assert any("Fatal Python error" in line for line in busy.store.log(run_id))
    busy.state(busy.submit(), "done")


def test_a_process_that_the_kernel_kills_is_tried_again_with_half_the_batch(busy: Any) -> None:
    run_id = busy.submit(die=1, signal=signal.SIGKILL)
    busy.state(run_id, "done")
    assert "start 2 at scale 0.5" in busy.store.log(run_id)


def test_a_running_run_is_cancelled_at_its_next_report_and_its_process_stays(busy: Any) -> None:
    run_id = busy.submit(steps=1000, pause=0.02)
    compute = busy.compute_of(run_id)
    busy.state(run_id, "running")
    busy.engine.cancel(run_id)
    record = busy.state(run_id, "cancelled", seconds=30)
    assert record.message.startswith("The run was cancelled")
    assert busy.store.log(run_id) == ["start 1 at scale 1.0"]
    assert compute in busy.computes()
    assert busy.store.result(run_id) is None


def test_a_hung_run_is_killed_after_a_grace_and_the_next_one_is_computed(busy: Any) -> None:
    run_id = busy.submit(hang=True)
    compute = busy.compute_of(run_id)
    busy.engine.cancel(run_id)
    busy.state(run_id, "cancelled", seconds=30)
    busy.wait(lambda: compute not in busy.computes())
    busy.state(busy.submit(), "done")
    assert busy.starts(run_id) == 1


def test_a_queued_run_is_cancelled_at_once_and_never_computed(busy: Any) -> None:
    first = busy.submit(steps=1000, pause=0.02)
    busy.compute_of(first)
    second, third = busy.submit(), busy.submit()
    assert (busy.store.run(second).ahead, busy.store.run(third).ahead) == (0, 1)
    busy.engine.cancel(second)
    assert busy.store.run(second).state == "cancelled"
    assert busy.store.run(third).ahead == 0
    busy.engine.cancel(first)
    busy.state(third, "done")
    assert busy.starts(second) == 0


def test_cancelling_a_finished_run_changes_nothing(busy: Any) -> None:
    run_id = busy.submit()
    busy.state(run_id, "done")
    busy.engine.cancel(run_id)
    assert busy.store.run(run_id).state == "done"
    with pytest.raises(NotFound):
        busy.engine.cancel("0123456789ab")


def test_sooner_priorities_are_computed_first(busy: Any) -> None:
    first = busy.submit(steps=1000, pause=0.02)
    busy.compute_of(first)
    late = busy.engine.submit(busy.spec(), priority=50)
    soon = busy.engine.submit(busy.spec(), priority=5)
    assert busy.store.run(late).ahead == 1
    busy.engine.cancel(first)
    busy.state(late, "done")
    assert busy.notes(soon)[-1]["time"] < busy.notes(late)[0]["time"]


def test_a_run_that_builds_on_nothing_that_exists_leaves_neither_run_nor_job(busy: Any) -> None:
    before = busy.store.count_runs()
    rule = MaskSpec(localization="0123456789ab", rule=MaskRule(top=1))
    spec = UnlearnSpec(facts=FactsSpec(set="tiny"), mask=rule, method="fake")
    with pytest.raises(UserError, match="0123456789ab"):
        busy.engine.submit(spec)
    assert busy.store.count_runs() == before


def test_fifty_runs_submitted_and_thirty_cancelled_at_once_are_each_computed_once_or_never(
    busy: Any,
) -> None:
    first = busy.submit(steps=1000, pause=0.02)
    busy.compute_of(first)
    with ThreadPoolExecutor(50) as threads:
        ids = list(threads.map(lambda n: busy.submit(steps=1), range(50)))
        list(threads.map(busy.engine.cancel, ids[20:]))
    busy.engine.cancel(first)
    assert len(set(ids)) == 50
    for run_id in ids[:20]:
        busy.state(run_id, "done", seconds=90)
    assert [busy.starts(run_id) for run_id in ids] == [1] * 20 + [0] * 30
    assert {busy.store.run(run_id).state for run_id in ids[20:]} == {"cancelled"}


def test_a_killed_compute_process_loses_nothing(busy: Any) -> None:
    run_id = busy.submit(steps=40, pause=0.05)
    busy.state(run_id, "running")
    os.kill(busy.compute_of(run_id), signal.SIGKILL)
    assert busy.state(run_id, "done").attempt == 2
    assert busy.starts(run_id) == 2


def test_a_second_supervisor_of_the_same_id_refuses_to_start(busy: Any) -> None:
    second = busy.launch("w1")
    run_id = busy.submit(steps=40, pause=0.05)
    assert second.wait(timeout=60) == 3
    assert "holds the id 'w1'" in (busy.data / "w1.log").read_text()
    busy.state(run_id, "done")
    assert busy.starts(run_id) == 1


def test_a_web_server_that_is_killed_after_it_submitted_loses_nothing(busy: Any) -> None:
    script = (
        "import os, signal, sys\n"
        "from worker.contract.settings import settings\n"
        "from worker.contract.spec import parse_spec\n"
        "from worker.engine.client import Engine\n"
        "engine = Engine.open(settings())\n"
        "print(engine.submit(parse_spec(eval(sys.argv[1]))), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", script, repr(busy.spec().model_dump())]
    died = subprocess.run(command, env=busy.environment, stdout=subprocess.PIPE, text=True)
    assert died.returncode == -signal.SIGKILL
    run_id = died.stdout.strip()
    busy.state(run_id, "done")
    assert busy.starts(run_id) == 1


def a_study(**options: Any) -> StudySpec:
    return StudySpec(
        facts=FactsSpec(set="tiny", forget="first:1"),
        masks={"mlp": StudyMask(title="The MLP", components=("blocks.0.mlp",))},
        methods={"fake": StudyMethod(title="Fake", method="fake", options=options)},
        seeds=(0, 1),
    )


def test_a_study_fans_out_and_leaves_its_place_to_its_children(busy: Any) -> None:
    study = busy.engine.submit(a_study())
    record = busy.state(study, "done", seconds=90)
    children = busy.store.children(study)
    assert [child.kind for child in children] == ["unlearn"] * 2 + ["evaluate"] * 2
    assert {child.state for child in children} == {"done"}
    assert record.fraction == 1.0


def test_a_cancelled_study_cancels_its_children(busy: Any) -> None:
    study = busy.engine.submit(a_study(steps=1000, pause=0.02))
    busy.wait(lambda: any(c.state == "running" for c in busy.store.children(study)))
    busy.engine.cancel(study)
    busy.state(study, "cancelled")
    for child in busy.store.children(study):
        busy.state(child.id, "cancelled")

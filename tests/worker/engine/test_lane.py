"""Quick questions: past the queue, with a process of their own, and never behind a long run."""

from typing import Any

import httpx
import pytest

from worker.contract.errors import UserError
from worker.contract.inputs import AskReadFacts
from worker.engine.client import Engine, NoWorker


@pytest.fixture(autouse=True)
def upload(request: pytest.FixtureRequest) -> None:
    """One upload for the questions of this file, in whichever store the test has."""
    for name in ("busy", "engine"):
        if name in request.fixturenames:
            store = request.getfixturevalue(name).store
            store.artifacts.put_bytes("uploads/u1/file", b"subject,target")


def question(filename: str = "facts.csv", path: str = "uploads/u1/file") -> AskReadFacts:
    return AskReadFacts(path=path, filename=filename)


def test_a_question_is_answered_while_a_long_run_computes(busy: Any) -> None:
    run_id = busy.submit(steps=10_000, pause=0.02)
    computing = busy.compute_of(run_id)
    busy.wait(lambda: len(busy.computes()) == 2)
    answer = busy.engine.ask(question(), timeout=60)
    assert int(answer["notes"][0]) != computing
    assert busy.store.run(run_id).state in ("loading", "running")
    busy.engine.cancel(run_id)
    busy.state(run_id, "cancelled")


def test_what_a_question_got_wrong_comes_back_with_its_field(busy: Any) -> None:
    with pytest.raises(UserError) as refused:
        busy.engine.ask(question("wrong"))
    assert refused.value.problems == [("file", "The file is wrong.")]


def test_an_upload_is_read_from_the_artifacts(busy: Any) -> None:
    answer = busy.engine.ask(question())
    assert answer["notes"][1] == str(busy.store.artifacts.local("uploads/u1/file"))
    with pytest.raises(UserError, match="uploads/u2"):
        busy.engine.ask(question(path="uploads/u2"))


@pytest.mark.parametrize(
    "path",
    ["/etc/hostname", "uploads/../session.key", "uploads//etc/hostname", "runs/r1/file", "uploads"],
)
def test_the_lane_reads_uploads_and_no_other_file(busy: Any, path: str) -> None:
    with pytest.raises(UserError, match=r"no upload's name; expected one as uploads/ID/file"):
        busy.engine.ask(question(path=path))


def test_a_question_without_the_token_is_refused(busy: Any) -> None:
    [lane] = busy.store.lanes()
    body = {"question": question().model_dump(), "timeout": 5}
    assert httpx.post(f"{lane.address}/ask", json=body).status_code == 401
    wrong = {"Authorization": f"Bearer {lane.token}x"}
    assert httpx.post(f"{lane.address}/ask", json=body, headers=wrong).status_code == 401
    assert lane.address.startswith("http://127.0.0.1:")


def test_a_stuck_question_ends_its_process_and_the_one_behind_it_is_answered_by_the_next(
    fleet: Any,
) -> None:
    fleet.start(lanes=2, question=1.5)
    fleet.wait(lambda: len(fleet.computes()) == 2)
    first = set(fleet.computes())
    fleet.engine.ask(question(), timeout=60)
    with pytest.raises(UserError, match=r"within 0\.5 s"):
        fleet.engine.ask(question("slow"), timeout=0.5)
    assert fleet.engine.ask(question(), timeout=60)["format"] == "csv"
    assert not first <= set(fleet.computes())


def test_with_one_lane_a_question_is_answered_by_the_runs_process(fleet: Any) -> None:
    fleet.start(lanes=1)
    [compute] = fleet.computes()
    assert fleet.engine.ask(question(), timeout=60)["notes"][0] == str(compute)
    run_id = fleet.submit(steps=20, pause=0.05)
    fleet.compute_of(run_id)
    assert fleet.engine.ask(question(), timeout=60)["notes"][0] == str(compute)
    assert fleet.store.run(run_id).state == "done" or fleet.state(run_id, "done")


def test_without_a_live_worker_a_question_is_refused_at_once(engine: Engine) -> None:
    with pytest.raises(NoWorker, match="lethe worker"):
        engine.ask(question())

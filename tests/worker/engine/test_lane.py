"""Quick questions: past the queue, with a process of their own, and never behind a long run."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from tests.worker.engine.test_asked import Held
from tests.worker.engine.test_patience import locked
from tests.worker.engine.test_resolve import MENU
from worker.contract.errors import UserError
from worker.contract.inputs import AskPreflight, AskReadFacts, Inputs, KeptElsewhere
from worker.contract.menu import Announcement
from worker.contract.progress import Event
from worker.engine import lane as lanes
from worker.engine.client import Engine, NoWorker
from worker.engine.facing import Place
from worker.engine.lane import Lane
from worker.engine.reach import PLAIN
from worker.engine.slot import Died
from worker.engine.wire import Answered, Failed
from worker.store.store import Store


@pytest.fixture(autouse=True)
def upload(request: pytest.FixtureRequest) -> None:
    """One upload for the questions of this file, in whichever store the test has."""
    for name in ("busy", "engine", "store"):
        if name in request.fixturenames:
            found = request.getfixturevalue(name)
            store = found if isinstance(found, Store) else found.store
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


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_look_ahead_knows_what_the_runs_before_it_measured(lanes: int, fleet: Any) -> None:
    fleet.start(lanes=lanes)
    run_id = fleet.submit()
    fleet.state(run_id, "done")
    asked = AskPreflight(spec=fleet.store.run(run_id).spec, inputs=Inputs(out=""))
    kept = fleet.engine.ask(asked, timeout=60)["notes"][1:]
    assert kept == ([run_id] if lanes == 2 else []), "one process knows by itself"


def test_without_a_live_worker_a_question_is_refused_at_once(engine: Engine) -> None:
    with pytest.raises(NoWorker, match="lethe worker"):
        engine.ask(question())


class Answers(Held):
    """A slot that answers every question at once, by what the test says; None: never."""

    announcement: Announcement | None = MENU

    def __init__(self) -> None:
        super().__init__()
        self.reply: Any = None
        self.events: tuple[Event, ...] = ()
        self.killed, self.computed = 0, 0.0

    def ask(self, job: str, question: Any, hear: Any) -> "Future[Any]":
        self.future = Future()
        super().ask(job, question, hear)
        if self.events:
            hear(self.events)
        if isinstance(self.reply, Exception):
            self.future.set_exception(self.reply)
        elif self.reply is not None:
            self.future.set_result(self.reply)
        return self.future

    def computed_for(self) -> float:
        return self.computed

    def kill(self) -> None:
        self.killed += 1


class Asker:
    """A lane of this process over a slot that answers as it is told, and who asks it."""

    def __init__(self, store: Store) -> None:
        self.slot, self.runs = Answers(), SimpleNamespace(kept=KeptElsewhere(keys=("one",)))
        place = Place("127.0.0.1", "127.0.0.1")
        self.lane = Lane(store, cast(Any, self.slot), place, 60.0, cast(Any, self.runs))
        self.lane.keep_up()
        self.post("/here")  # it serves: a socket is closed under no server that begins

    def post(self, path: str = "/ask", token: str = "", **more: Any) -> httpx.Response:
        body = {"question": question().model_dump(mode="json"), "timeout": 60} | more
        headers = {"Authorization": f"Bearer {token or self.lane.token}"}
        with httpx.Client(timeout=60, **PLAIN) as client:
            return client.post(f"{self.lane.address}{path}", json=body, headers=headers)

    def said(self, reply: Any) -> tuple[int, dict[str, Any]]:
        self.slot.reply = reply
        found = self.post()
        return found.status_code, found.json()


@pytest.fixture
def asker(store: Store) -> Iterator[Asker]:
    made = Asker(store)
    yield made
    made.lane.close()


def test_a_question_is_understood_with_what_the_process_of_runs_keeps(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def understood(data: Any, store: Any, menu: Any, kept: Any) -> AskReadFacts:
        seen.append(kept)
        return question()

    monkeypatch.setattr(lanes, "understand", understood)
    asker.said(Answered(job="j", answer={}))
    asker.runs.kept = KeptElsewhere(keys=("one", "two"))
    asker.said(Answered(job="j", answer={}))
    assert [one.keys for one in seen] == [("one",), ("one", "two")]


def failed(kind: Any, **more: Any) -> Failed:
    return Failed(job="j", kind=kind, message="words", **more)


def died() -> Died:
    child = SimpleNamespace(fate=lambda: "it fell", tail=list, signal=9)
    return Died(cast(Any, child))


def test_each_way_in_which_a_question_ends_has_its_status_and_words(
    asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    assert asker.said(Answered(job="j", answer={"x": 1})) == (200, {"answer": {"x": 1}})
    [(_, asked)] = asker.slot.given
    assert asked.filename == "facts.csv" and asked.path.endswith("uploads/u1/file")
    problems = (("f", "It is wrong."),)
    wrong = {"problems": [["f", "It is wrong."]]}
    assert asker.said(failed("user", problems=problems)) == (422, wrong | {"missing": False})
    assert asker.said(failed("missing", problems=problems)) == (422, wrong | {"missing": True})
    plain = {"problems": [["", "words"]], "missing": False}
    assert asker.said(failed("disk")) == (422, plain)
    status, said = asker.said(failed("oom"))
    assert status == 422 and "too little memory for this question" in said["problems"][0][1]
    assert caplog.text == "", "what a reader got wrong is no failure of the lane"
    bug = failed("bug", traceback=("first line", "second line"))
    assert asker.said(bug) == (500, {"message": "words"})
    assert "a question failed:\nfirst line\nsecond line" in caplog.text
    status, said = asker.said(died())
    assert (status, said["missing"]) == (422, False)
    assert said["problems"] == [["", "The computing process died: it fell. Ask again."]]
    assert asker.said(KeyError("x")) == (500, {"message": "KeyError('x')"})
    status, said = asker.said(locked())
    assert status == 503 and said["message"].startswith("The database is locked")
    asker.slot.reply = None
    assert asker.post(timeout=0.01).status_code == 504
    assert len(asker.slot.dropped) == 1


def test_a_starting_worker_reads_files_and_answers_nothing_else(asker: Asker) -> None:
    asker.slot.announcement = None
    asker.slot.reply = Answered(job="j", answer={})
    assert asker.post().status_code == 200
    found = asker.post(question={"ask": "preflight"})
    assert found.status_code == 503 and "The worker is starting" in found.json()["message"]


def test_a_body_that_is_too_long_is_refused_unread(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lanes.LONGEST_BODY == 20_000_000
    asker.slot.reply = Answered(job="j", answer={})
    long = len(asker.post().request.content)
    monkeypatch.setattr(lanes, "LONGEST_BODY", long)
    assert asker.post().status_code == 200
    monkeypatch.setattr(lanes, "LONGEST_BODY", long - 1)
    refused = asker.post()
    assert refused.status_code == 413 and f"more than {long - 1} bytes" in refused.text


def test_who_knows_the_token_is_told_that_this_is_the_worker(asker: Asker) -> None:
    assert asker.post("/here").status_code == 200
    for token in (f"{asker.lane.token}x", "another", "é"):
        for path in ("/here", "/ask"):
            headers = {"Authorization": f"Bearer {token}".encode()}
            with httpx.Client(timeout=60, **PLAIN) as client:
                wrong = client.post(f"{asker.lane.address}{path}", content=b"{}", headers=headers)
            assert wrong.status_code == 401
    assert asker.slot.given == []


def test_who_follows_gets_what_is_told_and_then_the_answer_line_by_line(asker: Asker) -> None:
    asker.slot.events = (Event(type="log", message="half"),)
    asker.slot.reply = Answered(job="j", answer={"x": 1})
    found = asker.post(follow=True)
    assert found.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in found.text.splitlines()] == [
        {"events": [{"type": "log", "message": "half"}]},
        {"status": 200, "answer": {"x": 1}},
    ]


def test_a_readers_newer_question_takes_the_place_of_the_older_one(asker: Asker) -> None:
    asked = question().model_copy(update={"reader": "tab 1"}).model_dump(mode="json")
    with ThreadPoolExecutor() as pool:
        older = pool.submit(asker.post, question=asked)
        while not asker.slot.given:
            time.sleep(0.001)
        assert len(asker.lane._answering) == 1, "held: a task that nothing holds may be collected"
        asker.slot.reply = Answered(job="j", answer={})
        assert asker.post(question=asked).status_code == 200
        assert older.result(60).status_code == 409


def test_a_lane_that_ended_by_itself_is_opened_again(asker: Asker) -> None:
    asker.slot.reply = Answered(job="j", answer={})
    before = asker.lane.address
    asker.lane.keep_up()
    assert asker.lane.address == before, "one that serves is left alone"
    asker.lane._thread = cast(Any, SimpleNamespace(is_alive=lambda: False))
    asker.lane.keep_up()
    assert asker.lane.address != before and asker.post().status_code == 200


def test_a_question_is_stuck_when_it_is_computed_for_longer_than_the_longest(
    asker: Asker,
) -> None:
    for computed, killed in ((0.0, 0), (60.0, 0), (60.1, 1)):
        asker.slot.computed = computed
        asker.lane.end_stuck()
        assert asker.slot.killed == killed

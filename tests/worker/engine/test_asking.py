"""Asking lanes over HTTP: whom, in which order, and what each way of failing is called."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from tests.worker.engine import fake_door
from worker.contract.errors import NotFound, UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import AskPreflight, AskReadFacts, Inputs, Question
from worker.contract.menu import Announcement
from worker.contract.progress import Event
from worker.contract.records import LaneAddress
from worker.contract.spec import parse_spec
from worker.engine import asking
from worker.engine.asking import NoWorker, Superseded, Unreachable, WorkerBusy, ask, follow
from worker.store.store import Store

READ = AskReadFacts(path="uploads/u/file", filename="a.csv")
Answers = Callable[[LaneAddress, dict[str, Any]], httpx.Response]


def lane(name: str) -> LaneAddress:
    return LaneAddress(id=name, address=f"http://{name}", token=f"token of {name}")


def store(
    *names: str, menus: dict[str, Announcement] | None = None, workers: tuple[Any, ...] = ()
) -> Store:
    lanes = [lane(name) for name in names]
    known = {"lanes": lambda: lanes, "menus": lambda: menus or {}, "workers": lambda: workers}
    return cast(Store, SimpleNamespace(**known))


def menu(models: dict[str, int], methods: list[str]) -> Announcement:
    chosen = SimpleNamespace(data=SimpleNamespace(), device="cpu")
    able = {"models": models, "methods": methods}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake_door, "_able", lambda chosen: able)
        return fake_door.menu(cast(Any, chosen))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], list[tuple[str, Any]]]:
    """Have lanes answer by a function; give the list of who was asked what."""

    def set_up(respond: Answers) -> list[tuple[str, Any]]:
        asked: list[tuple[str, Any]] = []

        def post(to: LaneAddress, path: str, body: Any, timeout: httpx.Timeout) -> httpx.Response:
            assert path == "/ask"
            asked.append((to.id, body | {"limits": (timeout.read, timeout.connect)}))
            return respond(to, body)

        @asynccontextmanager
        async def begin(*given: Any) -> AsyncIterator[httpx.Response]:
            yield post(*given)

        monkeypatch.setattr(asking, "post", post)
        monkeypatch.setattr(asking, "begin", begin)
        return asked

    return set_up


def json_of(status: int, **body: Any) -> httpx.Response:
    return httpx.Response(status, json=body)


def everything(one: Store, question: Question, timeout: float = 5) -> list[Any]:
    async def read() -> list[Any]:
        return [told async for told in follow(one, question, timeout)]

    return asyncio.run(read())


def both(one: Store, question: Question = READ) -> list[Callable[[], Any]]:
    """Ask and follow: what the one says of a failure the other says too."""
    return [lambda: ask(one, question, 5), lambda: everything(one, question)]


def test_the_answer_of_the_first_lane_is_given_and_no_other_asked(answers: Any) -> None:
    asked = answers(lambda to, body: json_of(200, answer={"from": to.id}))
    assert ask(store("a", "b"), READ, 5) == {"from": "a"}
    [(name, body)] = asked
    assert name == "a" and body["timeout"] == 5 and body["question"]["path"] == "uploads/u/file"
    assert body["limits"] == (6.0, 2.0), "a lane may say by itself that time is up"
    ask(store("a"), READ, 0.5)
    assert asked[-1][1]["limits"] == (1.5, 0.5)


def test_inputs_stay_here_since_the_worker_resolves_them_itself(answers: Any) -> None:
    asked = answers(lambda to, body: json_of(200, answer={}))
    spec = parse_spec({"kind": "localize", "facts": {"set": "s"}, "method": "fake"})
    facts = FactSet(name="s", facts=(Fact(id="a", subject="A", prompt="{} is", target="x"),))
    inputs = Inputs(out="/somewhere", fact_set=facts)
    ask(
        store("a", menus={"a": menu({"demo": 1}, ["fake"])}),
        AskPreflight(spec=spec, inputs=inputs),
        5,
    )
    assert asked[0][1]["question"]["inputs"]["out"] == ""
    assert asked[0][1]["question"]["inputs"]["fact_set"] is None


def test_a_lane_that_is_not_reached_is_passed_over(answers: Any) -> None:
    failures = {
        "refused": httpx.ConnectError("refused"),
        "silent": httpx.ConnectTimeout("silent"),
        "broken": httpx.RemoteProtocolError("broken off"),
    }

    def respond(to: LaneAddress, body: Any) -> httpx.Response:
        if to.id in failures:
            raise failures[to.id]
        return json_of(401) if to.id == "stranger" else json_of(200, answer={"from": to.id})

    asked = answers(respond)
    everybody = store(*failures, "stranger", "last")
    assert ask(everybody, READ, 5) == {"from": "last"}
    assert everything(everybody, READ) == [{"from": "last"}]
    assert [name for name, _ in asked] == 2 * [*failures, "stranger", "last"]
    for way in both(store(*failures, "stranger")):
        with pytest.raises(Unreachable) as error:
            way()
        said = error.value.message
        assert "nobody answers at http://refused" in said
        assert "nobody answers at http://silent" in said
        assert "The worker broken broke the connection off. Ask again." in said
        assert "at http://stranger somebody else answers" in said


def test_a_worker_that_starts_is_busy_and_one_that_cannot_get_ready_says_why(answers: Any) -> None:
    answers(lambda to, body: json_of(200, answer={}))
    starts = SimpleNamespace(alive=True, ready=False, problem="")
    ready = SimpleNamespace(alive=True, ready=True, problem="")
    gone = SimpleNamespace(alive=False, ready=False, problem="")
    for way in both(store(workers=(gone, ready, starts))):
        with pytest.raises(WorkerBusy, match="The worker is starting"):
            way()
    stuck = SimpleNamespace(alive=True, ready=False, problem="The folder 'odd' ends it.")
    for way in both(store(workers=(starts, stuck))):
        with pytest.raises(NoWorker, match="does not get ready") as error:
            way()
        assert not isinstance(error.value, WorkerBusy)
    for way in both(store(workers=(gone, ready))):
        with pytest.raises(NoWorker, match="No worker is alive") as error:
            way()
        assert not isinstance(error.value, WorkerBusy)


def test_without_a_lane_nobody_is_alive(answers: Any) -> None:
    answers(lambda to, body: json_of(200, answer={}))
    for way in both(store()):
        with pytest.raises(NoWorker, match="No worker is alive") as error:
            way()
        assert not isinstance(error.value, Unreachable)


@pytest.mark.parametrize(
    "error", [httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout], ids=lambda e: e.__name__
)
def test_a_lane_that_is_slow_is_busy_and_no_other_is_asked(
    answers: Any, error: type[httpx.TransportError]
) -> None:
    def respond(to: LaneAddress, body: Any) -> httpx.Response:
        raise error("slow")

    asked = answers(respond)
    for way in both(store("a", "b")):
        with pytest.raises(WorkerBusy, match="no answer within 5 s"):
            way()
    assert [name for name, _ in asked] == ["a", "a"]


@pytest.mark.parametrize(
    "status, body, kind, words",
    [
        (504, {}, WorkerBusy, "no answer within 5 s"),
        (503, {"message": "It starts."}, WorkerBusy, "It starts."),
        (409, {}, Superseded, "newer question"),
        (422, {"problems": [["file", "It is wrong."]], "missing": False}, UserError, "is wrong"),
        (422, {"problems": [["set", "It is not here."]], "missing": True}, NotFound, "not here"),
        (500, {"message": "KeyError"}, RuntimeError, "answered 500: KeyError"),
    ],
)
def test_what_a_lane_says_is_raised_as_it_is_meant(
    answers: Any, status: int, body: dict[str, Any], kind: type[Exception], words: str
) -> None:
    answers(lambda to, asked: json_of(status, **body))
    for way in both(store("a")):
        with pytest.raises(kind, match=words) as error:
            way()
        assert type(error.value) is kind
        if status == 422:
            problems = cast(UserError, error.value).problems
            assert problems == [tuple(body["problems"][0])]


def test_what_is_told_comes_before_the_answer_and_what_follows_it_is_not_read(
    answers: Any,
) -> None:
    told = [Event(type="log", message=str(i)) for i in range(3)]
    lines: list[dict[str, Any]] = [
        {"events": [told[0].model_dump(), told[1].model_dump()]},
        {"events": [told[2].model_dump()]},
        {"status": 200, "answer": {"is": "there"}},
        {"status": 500, "message": "never read"},
    ]
    text = "\n".join(map(json.dumps, lines))
    asked = answers(lambda to, body: httpx.Response(200, text=text))
    assert everything(store("a"), READ) == [*told, {"is": "there"}]
    assert asked[0][1]["follow"] is True and "follow" not in READ.model_dump()


def test_a_failure_at_the_end_of_what_is_told_has_its_own_status(answers: Any) -> None:
    line = json.dumps({"status": 504})
    answers(lambda to, body: httpx.Response(200, text=line))
    with pytest.raises(WorkerBusy):
        everything(store("a"), READ)


def test_those_that_can_answer_are_asked_and_the_ablest_first(answers: Any) -> None:
    asked = answers(lambda to, body: httpx.Response(401))
    menus = {
        "other": menu({"big": 1}, ["fake", "probes"]),
        "half": menu({"demo": 1}, ["fake"]),
        "whole": menu({"demo": 1}, ["fake", "probes"]),
    }
    study = parse_spec(
        {
            "kind": "study",
            "facts": {"set": "s"},
            "masks": {"all": {"title": "All", "components": ["blocks.0.mlp"]}},
            "methods": {"fake": {"title": "Fake", "method": "fake"}},
            "evaluations": ["probes"],
        }
    )
    everyone = store("other", "half", "whole", "starting", menus=menus)
    with pytest.raises(Unreachable):
        ask(everyone, AskPreflight(spec=study, inputs=Inputs(out="")), 5)
    assert [name for name, _ in asked] == ["whole", "half"]
    asked.clear()
    with pytest.raises(Unreachable):
        ask(everyone, READ, 5)
    assert [name for name, _ in asked] == ["other", "half", "whole", "starting"]


def test_what_no_worker_has_is_refused_with_its_field_and_nobody_asked(answers: Any) -> None:
    asked = answers(lambda to, body: json_of(200, answer={}))
    spec = parse_spec({"kind": "localize", "facts": {"set": "s"}, "method": "absent"})
    with pytest.raises(UserError, match="No worker that is alive can") as refused:
        ask(
            store("a", menus={"a": menu({"demo": 1}, ["fake"])}),
            AskPreflight(spec=spec, inputs=Inputs(out="")),
            5,
        )
    assert [field for field, _ in refused.value.problems] == ["method"]
    assert asked == []

"""Submissions: once only, and without waiting for a worker."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.submission import MOMENT, check, key_of_form, submit
from tests.app.asking import asked_of
from tests.app.conftest import fact_set
from worker.contract.errors import UserError
from worker.contract.inputs import AskPreflight, Question
from worker.engine.client import Engine, WorkerBusy


def runs(client: TestClient) -> int:
    return int(client.get("/api/runs").json()["total"])


def test_a_key_that_is_sent_again_makes_no_second_run(
    script: TestClient, spec: dict[str, Any]
) -> None:
    sent = [
        script.post("/api/runs", json=spec, headers={"Idempotency-Key": "one"}) for _ in range(3)
    ]
    assert {answer.status_code for answer in sent} == {201}
    assert len({answer.json()["id"] for answer in sent}) == 1
    other = script.post("/api/runs", json=spec, headers={"Idempotency-Key": "two"})
    assert other.json()["id"] != sent[0].json()["id"]
    assert runs(script) == 2
    assert script.post("/api/runs", json=spec).status_code == 201
    assert runs(script) == 3


def test_a_key_of_another_spec_is_refused(script: TestClient, spec: dict[str, Any]) -> None:
    key = {"Idempotency-Key": "one"}
    first = script.post("/api/runs", json=spec, headers=key).json()["id"]
    answer = script.post("/api/runs", json={**spec, "seed": 1}, headers=key)
    assert answer.status_code == 422
    [problem] = answer.json()["detail"]
    assert problem["field"] == "Idempotency-Key" and first in problem["message"]
    # What is only written otherwise is the same spec.
    again = script.post("/api/runs", json={**spec, "facts": {**spec["facts"]}}, headers=key)
    assert again.json()["id"] == first
    assert (
        script.post("/api/runs", json=spec, headers={"Idempotency-Key": "k" * 256}).status_code
        == 422
    )


def test_a_key_is_forgotten_with_its_run(
    script: TestClient, spec: dict[str, Any], engine: Engine
) -> None:
    key = {"Idempotency-Key": "one"}
    first = script.post("/api/runs", json=spec, headers=key).json()["id"]
    engine.cancel(first)
    assert script.delete(f"/api/runs/{first}").status_code == 204
    again = script.post("/api/runs", json=spec, headers=key).json()
    assert again["id"] != first and again["state"] == "queued"


def test_submissions_that_come_together_under_one_key_make_one_run(
    engine: Engine, spec: dict[str, Any]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: submit(engine, spec, key="one"), range(8)))
    assert len(set(made)) == 1
    assert engine.store.count_runs() == 1


def test_a_refused_submission_keeps_no_key(engine: Engine, spec: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        submit(engine, {**spec, "method": "none"}, key="one")
    assert submit(engine, spec, key="one")


FORM = {
    "model": "demo",
    "facts.set": "sports",
    "facts.how": "first",
    "facts.n": "4",
    "method": "causal_tracing",
}


def test_a_double_click_queues_once_and_a_form_that_is_drawn_anew_queues_again(
    client: TestClient,
) -> None:
    def key_on_page() -> str:
        return client.get("/localize").text.split('name="submission" value="')[1].split('"')[0]

    form = {**FORM, "submission": key_on_page()}
    clicks = [client.post("/localize", data=form, follow_redirects=False) for _ in range(2)]
    assert {answer.status_code for answer in clicks} == {303}
    assert clicks[0].headers["location"] == clicks[1].headers["location"]
    assert runs(client) == 1
    client.post("/localize", data={**form, "facts.n": "5"})  # gone back, and changed
    assert runs(client) == 2
    client.post("/localize", data={**form, "submission": key_on_page()})
    assert runs(client) == 3


def test_running_again_is_once_only_too(client: TestClient, spec: dict[str, Any]) -> None:
    first = client.post("/api/runs", json=spec).json()["id"]
    for _ in range(2):
        client.post(f"/runs/{first}/again", data={"submission": "a-key"})
    assert runs(client) == 2


def test_a_forms_key_is_of_what_is_asked() -> None:
    assert key_of_form({}, "x") == key_of_form({"submission": ""}, "x") == ""
    one = key_of_form({"submission": "k"}, {"seed": 0})
    assert one == key_of_form({"submission": "k"}, {"seed": 0})
    assert (
        len({one, key_of_form({"submission": "k"}, {"seed": 1}), key_of_form({"submission": "l"})})
        == 3
    )


def test_a_submission_asks_the_worker_for_no_trial_and_waits_moments(
    script: TestClient, engine: Any, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bool, float]] = []

    def busy(question: Question, timeout: float = 10) -> dict[str, Any]:
        assert isinstance(question, AskPreflight)
        asked.append((question.brief, timeout))
        raise WorkerBusy("The worker computes something else.")

    monkeypatch.setattr(engine, "ask", busy)
    assert script.post("/api/runs", json=spec).status_code == 201
    assert asked == [(True, MOMENT)]
    assert script.post("/api/runs/check", json=spec).status_code == 503
    assert asked[1][0] is False


def test_ten_that_submit_the_same_at_once_ask_the_worker_once(
    engine: Any, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Question] = []
    ask = engine.ask

    def counted(question: Question, timeout: float = 10) -> dict[str, Any]:
        asked.append(question)
        return ask(question, timeout)

    monkeypatch.setattr(engine, "ask", counted)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda seed: submit(engine, {**spec, "seed": seed}), range(10)))
    assert len(asked) == 1 and engine.store.count_runs() == 10
    drawn = {**spec, "facts": {**spec["facts"], "forget": "random:4"}}
    for seed in range(2):
        submit(engine, {**drawn, "seed": seed})
    assert len(asked) == 3, "a seed that draws the facts asks about others"
    engine.store.save_fact_set(fact_set(n=39), bundled=True)
    submit(engine, spec)
    assert len(asked) == 4, "of a set with other facts the answer is another"


def test_a_submission_that_was_refused_is_asked_about_anew(
    engine: Any, spec: dict[str, Any]
) -> None:
    engine.refusal = UserError("It has no token.", field="facts")
    for _ in range(2):
        with pytest.raises(UserError, match="no token"):
            submit(engine, spec)
    engine.refusal = None
    assert submit(engine, spec)


def test_a_submission_takes_few_turns_of_the_database(engine: Any, spec: dict[str, Any]) -> None:
    submit(engine, {**spec, "seed": 1})
    with asked_of(engine.store.database) as sent:
        submit(engine, {**spec, "seed": 2})
    begun = [one for one in sent if one.startswith("BEGIN")]
    assert (len(begun), len(sent) - len(begun)) == (4, 10)


def test_what_is_only_looked_at_waits_longer_for_a_busy_machine_than_what_is_submitted(
    engine: Engine, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def busy(question: Question, timeout: float = 10) -> dict[str, Any]:
        waited.append(timeout)
        raise WorkerBusy("The worker computes much else.")

    monkeypatch.setattr(engine, "ask", busy)
    submit(engine, spec)
    for brief in (True, False):
        with pytest.raises(WorkerBusy):
            check(engine, spec, brief=brief)
    submitted, glanced, looked = waited
    assert submitted == MOMENT < glanced < looked

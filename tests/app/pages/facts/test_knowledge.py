"""What a model knows and how it cuts facts, as pages: asked once, filtered, saved as a split."""

import io
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from app import knowledge
from worker.contract import recalled
from worker.contract.inputs import AskFactTokens
from worker.contract.known import Recalled
from worker.contract.menu import MethodInfo
from worker.contract.result import ArrayInfo, Axis, Evaluation, Provenance, Result, Table
from worker.contract.tokens import FactTokens, TokenChip, TokenExample, TokenFinding
from worker.engine.client import NoWorker

WORKER = "test-host:cpu"
MODEL = {"set": "sports", "model": "demo"}
CHIPS = (
    TokenChip(text="<bos>", id=0, part="special"),
    TokenChip(text=" Ann", id=7, part="subject"),
    TokenChip(text=" golf", id=9, part="answer"),
)


def tokens(weights: str = "w" * 64) -> dict[str, Any]:
    finding = TokenFinding(
        kind="several",
        title="Answers of several tokens",
        explanation="They are scored whole.",
        cure="Nothing needs to be done.",
        severity="told",
        n_facts=3,
        n_asked=40,
        examples=(TokenExample(id="fact-1", chips=CHIPS, note="2 tokens"),),
    )
    return FactTokens(
        model="demo",
        weights_hash=weights,
        n_facts=40,
        n_usable=40,
        mean_tokens=8.5,
        longest=12,
        findings=(finding,),
        samples=(TokenExample(id="fact-2", chips=CHIPS),),
    ).model_dump(mode="json")


@pytest.fixture
def asked(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[AskFactTokens]:
    """A worker that has the evaluation and answers how facts are cut; the questions it got."""
    menu, questions = engine.store.announcement(), []
    knows = MethodInfo(
        kind="evaluation", name="knowledge", title="Knows", summary="Asks.", options={}
    )
    more = menu.model_copy(update={"methods": (*menu.methods, knows)})
    engine.store.announce(WORKER, "g", more)
    answer = type(engine).ask

    def ask(self: Any, question: Any, timeout: float = 10) -> dict[str, Any]:
        if not isinstance(question, AskFactTokens):
            return answer(self, question, timeout)
        if not self.is_alive:
            raise NoWorker("No worker is alive to answer. Start one with `lethe worker`.")
        questions.append(question)
        return tokens()

    monkeypatch.setattr(type(engine), "ask", ask)
    return questions


def finish(engine: Any, run_id: str, weights: str = "w" * 64) -> None:
    """Give a run its result: athlete i has the probability i / 40."""
    store = engine.store
    attempt = store.begin_attempt(run_id, WORKER, "g")
    columns = ("fact", "subject", "set", "format", "target")
    columns += (*recalled.columns("none", "before"), *recalled.columns("one", "before"))
    facts = store.fact_set("sports").facts
    rows = []
    for i, f in enumerate(facts):
        alone = Recalled(probability=i / 40, rank=41 - i, share=1 - i / 40, place=1 + i % 3)
        shot = Recalled(probability=i / 80, rank=1, share=0.5, place=1) if i else None
        told = (*recalled.cells(alone), *recalled.cells(shot))
        rows.append((f.id, f.subject, "forget", "statement", f.target, *told))
    evaluation = Evaluation(
        name="knowledge",
        title="Knows",
        caption="c",
        aggregates=(),
        facts=Table(columns=columns, rows=tuple(rows)),
    )
    bins = tuple(f"{i / 20:g}–{(i + 1) / 20:g}" for i in range(20))
    info = ArrayInfo(file="arrays.npz", axes=(Axis(name="probability", labels=bins),), unit="facts")
    provenance = Provenance(
        model="demo",
        weights_hash=weights,
        fact_set="sports",
        fact_set_hash=store.fact_set("sports").hash,
        seed=0,
        device="cpu",
        dtype="float32",
        versions={},
    )
    result = Result(
        kind="evaluate",
        spec=store.run(run_id).spec,
        provenance=provenance,
        seconds=1.0,
        peak_memory_bytes=1,
        arrays={"knowledge.before": info},
        caption="What was found.",
        evaluations={"knowledge": evaluation},
    )
    data = io.BytesIO()
    np.savez(data, **{"knowledge.before": np.full(20, 2)})
    store.artifacts.put_bytes(f"runs/{run_id}/arrays.npz", data.getvalue())
    store.finish(run_id, attempt.number, "done", "", result)


def test_what_is_known_is_measured_once_and_filtered(
    client: TestClient, engine: Any, asked: list[AskFactTokens]
) -> None:
    assert "Not measured yet" in client.get("/facts/knowledge", params=MODEL).text
    waiting = client.post("/facts/knowledge", data=MODEL)
    assert 'hx-trigger="every 2s"' in waiting.text
    client.post("/facts/knowledge", data=MODEL)
    assert {one.first for one in asked} == {1}, "the weights' hash needs no more than one fact"
    (run,) = engine.store.runs(kind="evaluate")
    assert run.spec["facts"] == {"set": "sports", "forget": "first:40", "edit_to": ""}
    finish(engine, run.id)
    client.post("/facts/knowledge", data=MODEL)
    assert len(engine.store.runs(kind="evaluate")) == 1
    seen = client.get("/facts/knowledge", params={**MODEL, "probability": "0.75"}).text
    assert "10 of 40" in seen
    assert "data-figure=" in seen
    part = client.get("/facts/knowledge", params=MODEL, headers={"HX-Request": "true"})
    assert part.text.lstrip().startswith('<div id="known"') and "data-figure=" in part.text
    assert seen.index("fact-0<") < seen.index("fact-1<")
    few = client.get(
        "/facts/knowledge", params={**MODEL, "probability": "0.75", "show": "known"}
    ).text
    assert "fact-30<" in few and "fact-29<" not in few


def test_what_is_known_is_saved_as_a_split(
    client: TestClient, engine: Any, asked: list[AskFactTokens]
) -> None:
    client.post("/facts/knowledge", data=MODEL)
    finish(engine, engine.store.runs(kind="evaluate")[0].id)
    form = {**MODEL, "probability": "0.9", "split": "known"}
    client.post("/facts/knowledge/split", data=form)
    split = engine.store.fact_set("sports").splits["known"]
    assert split == ("fact-36", "fact-37", "fact-38", "fact-39")
    for change, words in (
        ({"probability": "1"}, "no fact with a probability of at least 1"),
        ({"probability": "many"}, "many"),
        ({"probability": "nan"}, "nan"),
        ({"split": ""}, "name has 0 characters"),
        ({"split": "a:b"}, "a:b"),
    ):
        answer = client.post("/facts/knowledge/split", data={**form, **change})
        assert (answer.status_code, words in answer.text) == (422, True), words
    assert client.post("/facts/knowledge/split", data={**form, "set": "no"}).status_code == 404


def test_known_may_mean_among_the_answers_up_to_a_place_or_after_a_shot(
    client: TestClient, engine: Any, asked: list[AskFactTokens]
) -> None:
    client.post("/facts/knowledge", data=MODEL)
    finish(engine, engine.store.runs(kind="evaluate")[0].id)
    seen = client.get("/facts/knowledge", params={**MODEL, "among": "answers", "probability": "0"})
    assert "40 of 40" in seen.text
    asked_for = {**MODEL, "among": "answers", "probability": "0.5", "rank": "1"}
    assert "7 of 40" in client.get("/facts/knowledge", params=asked_for).text
    shot = {**MODEL, "probability": "0.4", "shot": "one"}
    seen = client.get("/facts/knowledge", params=shot).text
    assert "8 of 39" in seen and "0.60 of the facts alone, 0.21 after another fact" in seen
    assert "Proposed: prompts alone" in seen
    client.post("/facts/knowledge/split", data={**asked_for, "split": "likeliest"})
    split = engine.store.fact_set("sports").splits["likeliest"]
    assert split == tuple(f"fact-{i}" for i in range(0, 21, 3))
    for change in ({"rank": "x"}, {"rank": "-1"}, {"among": "no"}, {"probability": "2"}):
        answer = client.get("/facts/knowledge", params={**asked_for, **change})
        assert answer.status_code == 422, change


def test_two_who_ask_at_once_get_one_run(
    client: TestClient, engine: Any, asked: list[AskFactTokens], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one looks for a run before the first one's is there, and remembers its own after.

    Only one of the two runs is left to be computed.
    """
    submit, first = knowledge.submit, []

    def submit_late(engine: Any, *args: Any, **kwargs: Any) -> str:
        own = submit(engine, *args, **kwargs)
        monkeypatch.setattr(knowledge, "submit", submit)
        client.post("/facts/knowledge", data=MODEL)
        first.append(engine.store.knowledge_run(chosen.hash, (), model="demo"))
        return own

    (chosen,) = engine.store.fact_sets()
    monkeypatch.setattr(knowledge, "submit", submit_late)
    assert client.post("/facts/knowledge", data=MODEL).status_code == 200
    states = {run.id: run.state for run in engine.store.runs(kind="evaluate")}
    assert sorted(states.values()) == ["cancelled", "queued"]
    assert states[first[0]] == "queued"
    assert engine.store.knowledge_run(chosen.hash, (), model="demo") == first[0]


def test_other_weights_or_other_facts_are_measured_anew(
    client: TestClient, engine: Any, asked: list[AskFactTokens]
) -> None:
    client.post("/facts/knowledge", data=MODEL)
    finish(engine, engine.store.runs(kind="evaluate")[0].id, weights="v" * 64)
    client.post("/facts/knowledge", data=MODEL)
    assert len(engine.store.runs(kind="evaluate")) == 2
    derived = {"set": "sports", "derived_group": "football", "answer": "chess", "derived": "d"}
    client.post("/facts/derive", data=derived)
    assert "Not measured yet" in client.get("/facts/knowledge", params={**MODEL, "set": "d"}).text


def test_without_a_worker_or_with_odd_addresses_the_page_says_so(
    client: TestClient, engine: Any, asked: list[AskFactTokens]
) -> None:
    engine.is_alive = False
    answer = client.post("/facts/knowledge", data=MODEL)
    assert (answer.status_code, "lethe worker" in answer.text) == (422, True)
    for more, code in (
        ({"model": "nope"}, 422),
        ({"model": "edit:nope"}, 422),
        ({"probability": "-1"}, 422),
        ({"set": "nope"}, 404),
        ({"offset": "x"}, 200),
    ):
        assert client.get("/facts/knowledge", params={**MODEL, **more}).status_code == code, more
    assert engine.store.runs(kind="evaluate") == []


def test_how_facts_are_cut_is_shown_with_chips_counts_and_cures(
    client: TestClient, engine: Any, asked: list[AskFactTokens]
) -> None:
    assert "<h2" not in client.get("/facts/tokens").text
    seen = client.get("/facts/tokens", params=MODEL).text
    for words in ("3 of 40 facts", "They are scored whole.", "Nothing needs to be done.", "␣Ann"):
        assert words in seen
    assert asked[0].spec.facts.set == "sports"
    engine.is_alive = False
    alone = client.get("/facts/tokens", params=MODEL)
    assert (alone.status_code, "lethe worker" in alone.text) == (422, True)
    assert client.get("/facts/tokens", params={**MODEL, "set": "no"}).status_code == 404


def test_the_api_measures_once_and_says_how_facts_are_cut(
    script: TestClient, engine: Any, asked: list[AskFactTokens]
) -> None:
    first = script.post("/api/facts/sports/knowledge", json={"model": "demo"})
    again = script.post("/api/facts/sports/knowledge", json={})
    assert (first.status_code, first.json()["id"]) == (202, again.json()["id"])
    assert script.get("/api/facts/sports/tokens").json()["n_usable"] == 40
    assert script.get("/api/facts/nope/tokens").status_code == 404
    assert script.post("/api/facts/nope/knowledge", json={}).status_code == 404
    assert script.post("/api/facts/sports/knowledge", json={"modle": "x"}).status_code == 422

"""Lessons as a student goes through them: answers are judged by the experiment, and kept."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.pages.lessons._judging import judge
from tests.app.conftest import fact_set
from tests.app.pages.explore.conftest import LAYERS, answer_of_an_edit
from tests.app.pages.lessons.conftest import ExploredEngine
from worker.contract.errors import UserError
from worker.contract.menu import MethodInfo
from worker.contract.result import Evaluation, Result, Table
from worker.lessons.schema import Choice, Question

pytestmark = pytest.mark.usefixtures("explored")
OWN = "?subject=Ty+Cobb&other=Grant+Hill"


def ask(client: TestClient, path: str, lesson: str = "where", **form: str) -> Any:
    return client.post(
        f"/lessons/{lesson}/{path}", data=form, headers={"Origin": "http://127.0.0.1"}
    )


def test_every_lesson_is_listed_with_its_way_in(client: TestClient) -> None:
    page = client.get("/lessons").text
    assert "Where does a model keep a fact?" in page and "/lessons/where" in page
    assert 'href="/lessons"' in page  # the menu has it


def test_what_is_below_the_question_is_not_sent_before_an_answer(client: TestClient) -> None:
    page = client.get("/lessons/where/1").text
    assert "Before you look" in page and "It says" not in page
    assert "likeliest next tokens" not in page
    told = ask(client, "1", answer="0")
    assert told.url.fragment == "told"
    assert "It is otherwise" in told.text and "<strong><span class=value>golf" in told.text
    assert "The likeliest next tokens" in told.text


def test_the_answer_is_what_the_experiment_shows(client: TestClient) -> None:
    """The engine of these tests says golf, which the lesson's own fact never has."""
    assert "You predicted it" in ask(client, "1", answer="3").text
    assert "experiment shows: golf" in ask(client, "1", answer="1").text


def test_a_wrong_number_gets_a_hint_and_after_two_the_answer_is_offered(client: TestClient) -> None:
    first = ask(client, "6", answer="7").text
    assert "Not yet" in first and "Go along the bottom row" in first and "Show me" not in first
    second = ask(client, "6", answer="6,5").text
    assert "Show me the answer" in second and "on, the last token carries" not in second
    shown = ask(client, "6", show="1").text
    assert "Not so" in shown and "the last token carries the answer" in shown


def test_cells_are_buttons_until_the_right_one_is_outlined(client: TestClient) -> None:
    page = client.get("/lessons/where/5?now=1").text
    assert 'form="question" name="answer" value="2.1"' in page
    assert "Not yet" in ask(client, "5", answer="0.6").text
    told = ask(client, "5", answer="2.1").text
    assert "Right" in told and 'form="question"' not in told and " right" in told


@pytest.mark.parametrize(
    ("step", "answer", "words"),
    [
        ("1", "", "No answer was given"),
        ("1", "17", "none of the 4 answers"),
        ("6", "many", "is no number"),
        ("6", "9" * 101, "No answer was given"),
        ("5", "99.0", "is no cell"),
        ("8", "1", "asks nothing"),
    ],
)
def test_an_answer_that_is_none_is_said_and_not_kept(
    client: TestClient, step: str, answer: str, words: str
) -> None:
    said = ask(client, step, answer=answer)
    assert said.status_code == 422 and words in said.text
    assert "My answers" not in client.get("/lessons").text


def test_a_reader_goes_on_where_they_left_off(client: TestClient) -> None:
    assert client.get("/lessons/where").url.path == "/lessons/where/1"
    ask(client, "1", answer="0")
    assert client.get("/lessons/where").url.path == "/lessons/where/2"
    assert "Go on with step 2" in client.get("/lessons").text


def test_what_was_answered_is_there_again_and_another_fact_is_asked_anew(
    client: TestClient,
) -> None:
    ask(client, "1", answer="0")
    again = client.get("/lessons/where/1").text
    assert "It is otherwise" in again and 'value="0" required checked' in again
    own = client.get(f"/lessons/where/1{OWN}").text
    assert "Ty Cobb plays" in own and "It is otherwise" not in own
    assert "Fact: Ty Cobb plays" in ask(client, f"1{OWN}", answer="3").text


def test_a_step_on_another_fact_waits_until_one_is_chosen(client: TestClient) -> None:
    page = client.get("/lessons/where/7").text
    assert "Choose another fact" in page and 'id="question"' not in page
    page = client.get(f"/lessons/where/7{OWN}&now=1").text
    assert "Find the first place of" in page and "Ty Cobb" in page and 'name="answer"' in page


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("prompt=no+place&subject=A+B&other=C+D", "has {} 0 times"),
        ("subject=Nobody+Known", "another name with as many tokens"),
        ("subject=A&other=A", "Both names are"),
        ("subject=" + "x" * 1001 + "&other=y", "1,001 characters"),
    ],
)
def test_a_fact_that_is_none_is_said_above_the_lessons_own(
    client: TestClient, query: str, words: str
) -> None:
    said = client.get(f"/lessons/where/1?{query}")
    assert said.status_code == 422 and words in said.text and "Before you look" in said.text


def test_a_name_with_markup_is_only_a_name(client: TestClient) -> None:
    page = client.get("/lessons/where/1?subject=%3Cscript%3Ex&other=**b**+%7B%7Bask%3A+1%7D%7D")
    assert page.status_code == 200 and "<script>x" not in page.text
    assert "&lt;script&gt;x" in page.text


def test_readers_share_experiments_and_not_progress(
    client: TestClient, explored: ExploredEngine, stranger: TestClient
) -> None:
    ask(client, "1", answer="0")
    n = len(explored.asked)
    client.cookies.clear()
    assert client.get("/lessons/where/1?token=a-token-for-tests").status_code == 200
    token = client.get("/lessons").text.split('"X-CSRF-Token": "')[1].split('"')[0]
    client.headers["X-CSRF-Token"] = token
    assert client.get("/lessons/where").url.path == "/lessons/where/1"
    ask(client, "1", answer="1")
    assert len(explored.asked) == n
    rows = list(csv.DictReader(io.StringIO(client.get("/lessons/class.csv").text)))
    assert sorted(row["last answer"] for row in rows) == ["baseball", "basketball"]
    own = list(csv.DictReader(io.StringIO(client.get("/lessons/progress.csv").text)))
    assert [row["last answer"] for row in own] == ["baseball"]


def test_the_class_list_has_the_names_that_readers_gave(client: TestClient) -> None:
    ask(client, "1", answer="0")
    ask(client, "1", answer="3")
    client.post("/lessons/name", data={"name": "=Ada"})
    (row,) = csv.DictReader(io.StringIO(client.get("/lessons/class.csv").text))
    assert row["reader"] == "'=Ada"  # no formula to a spreadsheet
    assert (row["first answer"], row["last answer"], row["attempts"]) == ("basketball", "golf", "2")
    assert row["right"] == "True" and row["title"] == "Ask it"
    assert client.post("/lessons/name", data={"name": "x" * 101}).status_code == 422


def test_without_a_worker_the_words_are_read_and_the_figure_says_why(
    client: TestClient, explored: ExploredEngine
) -> None:
    type(explored).is_alive = False
    try:
        assert "We can stop after any layer" in client.get("/lessons/where/2").text
        figure = client.get("/lessons/where/2/figures/lens", headers={"HX-Request": "true"})
        assert figure.status_code == 503 and "No worker is alive" in figure.text
        assert 'hx-trigger="load delay:3s"' in figure.text
        assert ask(client, "1", answer="0").status_code == 503
    finally:
        type(explored).is_alive = True


def test_what_cannot_be_computed_of_a_fact_is_said_in_its_place(
    client: TestClient, explored: ExploredEngine
) -> None:
    """Names of unequal length, for example: the words stay readable, and nothing is an error."""
    ask(client, "4", answer="0")
    client.app.state.answers._known.clear()  # type: ignore[attr-defined]
    type(explored).refusal = UserError("The prompts have 12 and 15 tokens; give another name.")
    try:
        page = client.get("/lessons/where/4?now=1")
        assert page.status_code == 200 and "/lessons/where/4/rest" in page.text
        rest = client.get("/lessons/where/4/rest", headers={"HX-Request": "true"})
        assert rest.status_code == 422 and "12 and 15 tokens" in rest.text
    finally:
        type(explored).refusal = None


def test_the_projector_view_and_the_notes_are_apart(client: TestClient) -> None:
    page = client.get("/lessons/where/1?projector=1").text
    assert "frame projected" in page and "Let the class vote" not in page
    assert 'rel="next" href="/lessons/where/2?projector=1"' in page
    notes = client.get("/lessons/where/notes").text
    assert "Let the class vote" in notes and "{{" not in notes


def test_a_term_is_explained_once_on_a_page(client: TestClient) -> None:
    page = client.get("/lessons/where/2").text
    assert page.count('id="term-logit-lens"') == 1 and page.count('id="term-token"') == 1
    whole = client.get("/lessons/where/2?now=1").text
    caption = whole.partition("The likeliest next token at each place")[2].partition("</p>")[0]
    assert 'id="term-mlp"' in caption and whole.count('id="term-mlp"') == 1
    alone = client.get("/lessons/where/2/figures/lens", headers={"HX-Request": "true"}).text
    assert 'id="term-mlp"' in alone and 'id="term-token"' not in alone


def test_a_figure_is_downloaded_with_its_numbers(client: TestClient) -> None:
    rows = list(csv.reader(io.StringIO(client.get("/lessons/where/5/figures/map.csv").text)))
    assert rows[0] == ["token / layer", "0", "1", "2"] and len(rows) == 1 + 6
    tops = client.get("/lessons/where/1/figures/next.csv").text
    assert tops.startswith("prompt,token,probability")


@pytest.mark.parametrize(
    "path", ["nothing", "where/0", "where/99", "where/x", "where/1/figures/no"]
)
def test_what_is_not_there_is_said(client: TestClient, path: str) -> None:
    assert client.get(f"/lessons/{path}").status_code == 404


def test_a_teachers_lesson_is_beside_the_others_and_a_broken_one_is_named(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "lessons"
    folder.mkdir()
    (folder / "broken.md").write_text("nothing")
    settings = client.app.state.settings  # type: ignore[attr-defined]
    monkeypatch.setattr(
        client.app.state,
        "settings",
        settings.model_copy(update={"lessons": folder}),  # type: ignore[attr-defined]
    )
    page = client.get("/lessons").text
    assert "broken.md" in page and "front matter" in page and "/lessons/where" in page


def test_where_no_choice_holds_none_is_right() -> None:
    class Seen:
        def value(self, text: str) -> bool:
            return False

    choices = (Choice(words="a", when="1"), Choice(words="b", when="1"))
    question = Question(kind="choice", ask="?", of="x", choices=choices)
    judged = judge(question, None, Seen(), "0")  # type: ignore[arg-type]
    assert not judged.right and judged.best == "none of these"
    with pytest.raises(UserError):
        judge(question, None, Seen(), "-1")  # type: ignore[arg-type]


def able(explored: ExploredEngine) -> ExploredEngine:
    """The engine, whose worker has the facts and the options of the lesson's edits."""
    explored.store.save_fact_set(fact_set("athletes"), bundled=True)
    menu = explored.store.announcement()
    assert menu is not None
    kinds = {"objective": "string", "steps": "integer", "learning_rate": "number"}
    kinds |= {"forget_weight": "number"}
    options = {"type": "object", "properties": {name: {"type": k} for name, k in kinds.items()}}
    parts = {f"blocks.{layer}.mlp": 100 for layer in range(8)}
    measures = tuple(
        MethodInfo(kind="evaluation", name=name, title=name, summary="", options={})
        for name in ("latent_probes", "verdict")
    )
    own = tuple(one.model_copy(update={"options": options}) for one in menu.methods)
    changed = menu.model_copy(
        update={
            "methods": own + measures,
            "models": tuple(
                one.model_copy(update={"component_parameters": parts}) for one in menu.models
            ),
        }
    )
    explored.store.announce("test-host:cpu", "g", changed)
    return explored


def test_the_edits_of_a_lesson_are_made_once_for_all_and_tried_again_when_lost(
    client: TestClient, explored: ExploredEngine
) -> None:
    store = able(explored).store
    page = client.get("/lessons/take/2").text
    assert page.count("not made yet") == 3 and "Make the edits" in page
    unmade = client.get("/lessons/take/3/figures/early", headers={"HX-Request": "true"})
    assert "is not made yet" in ask(client, "3", lesson="take", answer="0").text
    assert unmade.status_code in (404, 409)
    made = client.post("/lessons/take/2/make")
    assert made.url.fragment == "making" and "They are being made" in made.text
    runs = store.runs(kind="unlearn")
    assert len(runs) == 3 and all("Take it out" in run.title for run in runs)
    client.post("/lessons/take/2/make")
    assert len(store.runs(kind="unlearn")) == 3
    explored.cancel(runs[0].id)
    again = client.get("/lessons/take/2/made", headers={"HX-Request": "true"}).text
    assert "Make the edits" in again
    client.post("/lessons/take/2/make")
    assert len(store.runs(kind="unlearn")) == 4


def finish(store: Any, kind: str, found: Result) -> None:
    """Let every queued run of a kind be done with this result."""
    for run in store.runs(kind=kind):
        attempt = store.begin_attempt(run.id, "test-host:cpu", "g")
        assert attempt is not None
        store.finish(run.id, attempt.number, "done", "", found)


def test_a_lesson_measures_its_edits_once_they_are_made_and_is_judged_by_what_was_found(
    client: TestClient, explored: ExploredEngine
) -> None:
    store = able(explored).store
    assert client.get("/lessons/gone/4").text.count("not begun") == 2
    early = client.post("/lessons/gone/4/make?what=runs")
    assert early.status_code == 409 and "is not made yet" in early.text
    assert "is not made yet" in ask(client, "6", lesson="gone", answer="0").text
    client.post("/lessons/gone/1/make?what=edits")
    delta = {"delta": "delta.safetensors"}
    finish(store, "unlearn", answer_of_an_edit().model_copy(update={"files": delta}))
    for run in store.runs(kind="unlearn"):
        store.artifacts.put_bytes(f"runs/{run.id}/{delta['delta']}", b"")
    asked = client.post("/lessons/gone/4/make?what=runs").text
    assert "They are being measured" in asked
    client.post("/lessons/gone/4/make?what=runs")
    runs = store.runs(kind="evaluate")
    assert {run.spec["model"]["edits"][0] for run in runs} == {
        run.id for run in store.runs(kind="unlearn")
    }
    assert len(runs) == 2
    card = Table(columns=("question", "answer", "tone", "because", "number"),
                 rows=(("Does it say it?", "no", "good", "0.01", "n"),))  # fmt: skip
    verdict = Evaluation(name="verdict", title="", caption="", aggregates=(), tables={"card": card})
    told = {"verdict": "hidden", "verdict.relearning.lora.held_out.after": 0.75}
    told |= {f"verdict.statement.forget.{state}": 0.5 for state in ("before", "after")}
    done = answer_of_an_edit().model_copy(
        update={"kind": "evaluate", "summary": told, "evaluations": {"verdict": verdict}}
    )
    finish(store, "evaluate", done)
    page = ask(client, "6", lesson="gone", answer="0").text
    assert "It is otherwise" in page and "Above 0.7: they are back" in page
    assert 'data-share="75' in page and f"/runs/{runs[0].id}" in page
    assert client.get("/lessons/gone/6/figures/late.csv").text.count("\n") == 4
    judged = ask(client, "7", lesson="gone", answer="1").text
    assert "You predicted it" in judged and "Does it say it?" in judged
    assert "Does it say it?" in client.get("/lessons/gone/7/figures/card.csv").text


def test_what_one_experiment_finds_another_is_asked_with(
    client: TestClient, explored: ExploredEngine
) -> None:
    """The strongest head is switched off, and patches are at the last of the fact's tokens."""
    page = client.get("/lessons/head/4?now=1")
    assert page.status_code == 200 and not explored.asked
    ask(client, "4", lesson="head", answer="0")
    (off,) = explored.asked[-1].spec.options["interventions"]
    assert off == {"kind": "zero", "site": "head", "layer": LAYERS - 1, "head": 1}
    assert f"on=zero.head.{LAYERS - 1}.1" in client.get("/lessons/head/4?now=1").text
    ask(client, f"6{OWN}", lesson="head", answer="0")
    (last,) = {one["token"] for one in explored.asked[-1].spec.options["interventions"]}
    assert last == len(["Fact:", "Ty", "Cobb", "plays", "the", "sport", "of"]) - 1
    n = len(explored.asked)
    ask(client, f"6{OWN}", lesson="head", answer="1")
    assert len(explored.asked) == n


def test_an_edited_model_is_asked_with_the_lessons_run_on_it(
    client: TestClient, explored: ExploredEngine
) -> None:
    store = able(explored).store
    client.post("/lessons/take/2/make")
    finish(store, "unlearn", answer_of_an_edit())
    assert "All are made" in client.get("/lessons/take/2").text
    ask(client, "3", lesson="take", answer="0")
    assert "It is otherwise" in client.get("/lessons/take/3?now=1").text
    edited = [one.spec for one in explored.asked if one.spec.edits]
    assert edited and {one.edits[0] for one in edited} <= {r.id for r in store.runs(kind="unlearn")}

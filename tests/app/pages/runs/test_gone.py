"""From an edit by one button to its verdict: queued once, awaited on the dossier, told first."""

import json
import re
from collections.abc import Callable
from types import ModuleType

import pytest
from starlette.testclient import TestClient

from app.drawing.drawing import Source
from tests.app.conftest import AskedEngine
from tests.app.pages.edits.test_stacks import NONE, edit
from worker.contract.errors import UserError
from worker.contract.menu import MethodInfo
from worker.contract.result import Evaluation, Table
from worker.contract.spec import parse_spec
from worker.engine.client import Engine, WorkerBusy
from worker.store.runs import insert_run

Put = Callable[[str, Source], str]
CARD = Table(
    title="not said any more, and found again",
    columns=("question", "answer", "tone", "because", "number"),
    rows=(("Does it still say it?", "no", "good", "0.01 for <b>it</b>", "verdict.x"),),
)


def judged(made: ModuleType) -> Source:
    """A verdict that was hidden, with one of its plain answers."""
    source = made.evaluation_source()
    verdict = Evaluation(
        name="verdict", title="Verdict", caption="Verdict: hidden.", aggregates=(),
        tables={"card": CARD},
    )  # fmt: skip
    summary = {"verdict": "hidden", "verdict.x": 0.01, "verdict.statement.forget.after": 0.01}
    update = {"evaluations": {"verdict": verdict}, "summary": summary}
    return Source(source.result.model_copy(update=update), source.open)


@pytest.fixture
def edited(engine: Engine) -> str:
    """A finished edit, and a worker that can judge it."""
    found = engine.store.announcement()
    assert found is not None
    asks = MethodInfo(
        kind="evaluation", name="verdict", title="Verdict", summary="", options=NONE,
        limits="What none of these finds.",
    )  # fmt: skip
    changed = found.model_copy(update={"methods": (*found.methods, asks)})
    engine.store.announce("test-host:cpu", "g", changed)
    return edit(engine, "base0000", "edit1111", (), "first:2", "golf")


def press(client: TestClient, edited: str, **form: str) -> None:
    answer = client.post(f"/runs/{edited}/gone", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/dossier/{edited}")


def finish(engine: Engine, run_id: str, source: Source) -> None:
    attempt = engine.store.begin_attempt(run_id, "test-host:cpu", "g")
    assert attempt is not None
    engine.store.finish(run_id, attempt.number, "done", "", source.result)


def test_the_button_stands_on_a_finished_edit_with_the_time_it_takes(
    client: TestClient, edited: str
) -> None:
    for address in (f"/runs/{edited}/result", f"/dossier/{edited}"):
        shown = client.get(address).text
        assert f'action="/runs/{edited}/gone"' in shown and "<button>Is it gone?</button>" in shown
        assert f'hx-get="/runs/{edited}/gone/ahead" hx-trigger="load"' in shown
    beside = client.get(f"/runs/{edited}/gone/ahead").text
    assert "what was to stay: about 10 s." in beside and "hx-get" not in beside
    assert "<button" not in beside, "the button is not swapped under a reader's finger"


def test_while_no_worker_says_how_long_it_takes_it_can_be_asked_all_the_same(
    client: TestClient, engine: AskedEngine, edited: str
) -> None:
    engine.refusal = WorkerBusy("The worker loads a model.")
    assert "<button>Is it gone?</button>" in client.get(f"/runs/{edited}/result").text
    beside = client.get(f"/runs/{edited}/gone/ahead").text
    assert "about" not in beside and "It asks in other wordings" in beside
    assert 'hx-trigger="load delay:3s"' in beside, "the time is asked again"


def test_what_hinders_the_question_stands_beside_the_button(
    client: TestClient, engine: AskedEngine, edited: str
) -> None:
    engine.refusal = UserError("No worker has the model 'demo'.")
    beside = client.get(f"/runs/{edited}/gone/ahead").text
    assert "It cannot be asked now: No worker has the model &#39;demo&#39;." in beside
    assert "hx-get" not in beside


def test_one_press_asks_about_the_edits_own_facts_and_a_second_of_the_same_form_nothing_more(
    client: TestClient, engine: Engine, edited: str
) -> None:
    press(client, edited, submission="one")
    press(client, edited, submission="one")
    [run] = engine.store.children(edited)
    assert run.spec["evaluations"] == ["verdict", "probes"]
    assert run.spec["model"] == {"base": "demo", "edits": [edited]}
    asked = run.spec["facts"]
    assert (asked["set"], asked["forget"], asked["edit_to"]) == ("sports", "first:2", "golf")
    assert run.title.startswith("Is it gone?")


def test_the_dossier_says_how_far_the_verdict_has_come_and_then_begins_with_it(
    client: TestClient, engine: Engine, made: ModuleType, edited: str
) -> None:
    press(client, edited)
    [run] = engine.store.children(edited)
    page = client.get(f"/dossier/{edited}").text
    assert f'hx-get="/dossier/{edited}/verdict"' in page and "Queued" in page
    assert "on its way" in client.get(f"/runs/{edited}/result").text

    finish(engine, run.id, judged(made))
    part = client.get(f"/dossier/{edited}/verdict").text
    assert "hx-trigger" not in part, "nothing is awaited any more"
    for shown in (
        part,
        client.get(f"/dossier/{edited}").text,
        client.get(f"/runs/{run.id}/result").text,
    ):
        assert '<span class="verdict-word bad">Hidden</span>' in shown
        assert "Not said any more, and found again." in shown
        assert "0.01 for &lt;b&gt;it&lt;/b&gt;" in shown
        assert f'data-figure="/runs/{run.id}/figures/verdict_bars"' in shown
    assert client.get(f"/dossier/{edited}").text.index("verdict-word") < page.index("facts-head")
    assert f'href="/dossier/{edited}#verdict-head"' in client.get(f"/runs/{edited}/result").text


def test_a_verdict_that_failed_can_be_asked_again(
    client: TestClient, engine: Engine, edited: str
) -> None:
    press(client, edited)
    [run] = engine.store.children(edited)
    attempt = engine.store.begin_attempt(run.id, "test-host:cpu", "g")
    assert attempt is not None
    engine.store.finish(run.id, attempt.number, "failed", "out of memory", None)
    assert "<button>Is it gone?</button>" in client.get(f"/runs/{edited}/result").text


def test_what_cannot_be_concluded_stands_on_a_verdicts_page(
    client: TestClient, engine: Engine, made: ModuleType, edited: str
) -> None:
    press(client, edited)
    [run] = engine.store.children(edited)
    finish(engine, run.id, judged(made))
    page = client.get(f"/runs/{run.id}/result").text
    assert "What cannot be concluded" in page and "What none of these finds." in page


def test_only_a_finished_edit_is_asked(client: TestClient, put: Put, made: ModuleType) -> None:
    other = put("localize", made.localization_source())
    for answer in (client.get(f"/runs/{other}/gone/ahead"), client.post(f"/runs/{other}/gone")):
        assert answer.status_code == 422 and "only a finished edit" in answer.text


def test_a_dossier_is_saved_as_one_file_that_asks_nobody_for_anything(
    client: TestClient, engine: Engine, made: ModuleType, edited: str
) -> None:
    press(client, edited)
    [run] = engine.store.children(edited)
    odd = '</script><script>alert("x")</script>'
    engine.store.update_run(edited, title=odd)
    finish(engine, run.id, judged(made))
    answer = client.get(f"/dossier/{edited}/file")
    text = answer.text
    assert f'filename="dossier-{edited}.html"' in answer.headers["content-disposition"]
    assert len(answer.content) < 5_000_000
    assert odd not in text and "&lt;/script&gt;&lt;script&gt;alert" in text
    body = text.partition("<main")[2].partition("</main>")[0]
    assert '<span class="verdict-word bad">Hidden</span>' in body
    assert not re.search(r"<a\b|\bsrc=|hx-get|<form", body)
    assert text.count("<script") == text.count("</script>"), "no script ends early"
    drawn = re.findall(r"data-drawing>(.*?)</script>", body)
    missing = body.count('<p class="error">')  # of arrays that these tests do not store
    assert len(drawn) == body.count("data-figure=") - missing > 0
    assert all(json.loads(one)["data"] for one in drawn)
    assert body.count("data-rows><table>") == len(drawn), "numbers stand there without scripts"
    assert "vendor/" not in text.partition("</style>")[0]


def test_a_dossier_says_what_each_evaluation_found_once(
    client: TestClient, engine: Engine, made: ModuleType, edited: str
) -> None:
    model = {"base": "demo", "edits": [edited]}
    facts = {"set": "sports", "forget": "first:2"}
    spec = {"kind": "evaluate", "model": model, "facts": facts, "evaluations": ["probes"]}
    with engine.store.database.write() as session:
        run_id = insert_run(
            session, parse_spec(spec), owner="", title="asked", tags=(), parents=None, priority=1
        )
    source = made.evaluation_source()
    caption = "Found but once."
    [(name, found)] = source.result.evaluations.items()
    told = source.result.model_copy(
        update={
            "caption": caption,
            "evaluations": {name: found.model_copy(update={"caption": caption})},
        }
    )
    finish(engine, run_id, Source(told, source.open))
    assert client.get(f"/dossier/{edited}").text.count(caption) == 1

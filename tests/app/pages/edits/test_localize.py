"""The forms of experiments: what they send, what they say beside a field, what they keep."""

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from worker.contract.errors import UserError
from worker.engine.client import Engine, WorkerBusy

HTMX = {"HX-Request": "true"}
FORM = {
    "model": "demo",
    "facts.set": "sports",
    "facts.how": "first",
    "facts.n": "16",
    "seed": "3",
    "method": "causal_tracing",
    "options.of": "causal_tracing",
    "options.n_noises": "7",
    "options.sites": "mlp",
}


def send(client: TestClient, path: str = "/localize", **changes: Any) -> Any:
    return client.post(path, data=FORM | changes, headers=HTMX)


def started(engine: Engine) -> dict[str, Any]:
    return engine.store.runs(limit=1)[0].spec


def test_the_form_starts_the_run_that_it_describes(client: TestClient, engine: Engine) -> None:
    answer = send(client)
    assert answer.headers["HX-Redirect"].startswith("/runs/")
    spec = started(engine)
    assert spec["facts"] == {"set": "sports", "forget": "first:16", "edit_to": ""}
    assert spec["options"] == {"n_noises": 7, "sites": ["mlp"], "is_exact": False}
    assert spec["seed"] == 3


def test_without_scripts_the_form_redirects(client: TestClient) -> None:
    answer = client.post("/localize", data=FORM, follow_redirects=False)
    assert answer.status_code == 303


@pytest.mark.parametrize(
    ("how", "part", "value", "forget"),
    [
        ("random", "facts.n", "5", "random:5"),
        ("group", "facts.group", "football", "group:football"),
        ("ids", "facts.ids", "fact-1, fact-2", "ids:fact-1, fact-2"),
        ("split", "facts.split", "held", "held"),
    ],
)
def test_every_way_of_choosing_facts_is_sent(
    client: TestClient, engine: Engine, how: str, part: str, value: str, forget: str
) -> None:
    engine.store.save_split("sports", "held", ["fact-3"])
    assert send(client, **{"facts.how": how, part: value}).status_code == 200
    assert started(engine)["facts"]["forget"] == forget


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("options.n_noises", "many", "n_noises is &#34;many&#34;; expected a whole number"),
        ("options.n_noises", "1000", "n_noises is 1000; expected a whole number from 1"),
        ("facts.n", "999", "expected a number from 1 to 40"),
        ("facts.n", "-1", "expected a number from 1 to 40"),
        ("facts.edit_to", "football", "8 of the 16 chosen facts have the target &#39;f"),
        ("seed", "x", "seed is &#39;x&#39;; expected a whole number"),
        ("model", "brok", "Did you mean &#39;broken&#39;?"),
        ("model", "broken", "its weights are a pickle"),
        ("model", "edit:nowhere", "There is no run &#39;nowhere&#39;"),
        ("facts.set", "sport", "Did you mean &#39;sports&#39;?"),
        ("method", "causal", "Did you mean &#39;causal_tracing&#39;?"),
    ],
)
def test_a_refused_value_is_said_and_kept_as_typed(
    client: TestClient, engine: Engine, field: str, typed: str, said: str
) -> None:
    answer = send(client, **{field: typed})
    assert answer.status_code == 422
    assert said in answer.text
    assert engine.store.count_runs() == 0
    control = re.search(rf'<(?:input|select)[^>]* name="{re.escape(field)}"[^>]*>', answer.text)
    assert control and 'aria-invalid="true"' in control[0]
    if control[0].startswith("<input"):
        assert f'value="{typed}"' in control[0]


@pytest.mark.parametrize("path", ["/localize", "/unlearn"])
def test_a_whole_group_is_edited_to_one_other_answer(
    client: TestClient, engine: Engine, path: str
) -> None:
    method = "causal_tracing" if path == "/localize" else "localized_finetuning"
    typed = {"facts.how": "group", "facts.group": "football", "facts.edit_to": " golf "}
    chosen = {"mask.from": "components", "mask.components": "blocks.1.mlp"}
    answer = send(client, path, **typed, **chosen, method=method, **{"options.of": method})
    assert answer.status_code == 200, answer.text
    run = engine.store.runs(limit=1)[0]
    assert run.spec["facts"] == {"set": "sports", "forget": "group:football", "edit_to": "golf"}
    assert "group football → golf" in run.title
    page = client.get(f"{path}?from={run.id}").text
    assert 'name="facts.edit_to" type="text" value="golf"' in page, "kept for “change and run”"


def test_a_target_that_is_too_long_is_said_beside_its_field(client: TestClient) -> None:
    page = send(client, **{"facts.edit_to": "g" * 2001}).text
    assert re.search(r'<input[^>]* name="facts.edit_to"[^>]* aria-invalid="true"', page)
    assert "2000 characters" in page


def test_several_refused_values_are_said_at_once(client: TestClient) -> None:
    page = send(client, **{"seed": "x", "options.n_noises": "y", "facts.n": ""}).text
    assert page.count('class="error"') == 3


def test_a_change_of_method_draws_its_options_anew(client: TestClient) -> None:
    answer = client.post(
        "/localize/form", data=FORM | {"options.of": "another", "seed": "5"}, headers=HTMX
    )
    assert 'name="options.n_noises" value="10"' in answer.text
    assert 'value="5"' in answer.text
    assert "facts.n=16" in answer.headers["HX-Replace-Url"]
    assert "csrf" not in answer.headers["HX-Replace-Url"]


def test_a_shared_address_opens_the_same_form(client: TestClient) -> None:
    page = client.get("/localize?facts.set=sports&facts.how=group&facts.group=baseball&seed=9").text
    assert '<option value="baseball" selected>' in page
    assert 'name="seed" type="text" value="9"' in page


def test_the_preflight_says_what_is_known_before_the_start(client: TestClient) -> None:
    page = client.post("/localize/preflight", data=FORM, headers=HTMX).text
    assert "12 s" in page and "200" in page


def test_the_preflight_says_what_would_be_refused(client: TestClient, engine: Any) -> None:
    engine.refusal = UserError("The subject merges with its neighbour.", field="facts")
    page = client.post("/localize/preflight", data=FORM, headers=HTMX).text
    assert "The subject merges with its neighbour." in page


def test_a_worker_that_cannot_answer_yet_is_asked_again(client: TestClient, engine: Any) -> None:
    again = 'hx-trigger="load delay:3s"'
    engine.refusal = WorkerBusy("The worker is starting; ask again in a few seconds.")
    page = client.post("/localize/preflight", data=FORM, headers=HTMX).text
    assert "The worker is starting" in page and again in page
    assert send(client).status_code == 200, "a run is queued meanwhile"
    engine.refusal = UserError("None of the facts can be used.", field="facts")
    assert again not in client.post("/localize/preflight", data=FORM, headers=HTMX).text


def test_without_a_worker_the_preflight_says_that_the_run_waits(
    client: TestClient, engine: Any
) -> None:
    engine.is_alive = False
    page = client.post("/localize/preflight", data=FORM, headers=HTMX).text
    assert "No worker is alive" in page
    assert send(client).status_code == 200


def test_change_and_run_fills_the_form_from_a_run(client: TestClient, engine: Engine) -> None:
    send(client, **{"facts.how": "random", "facts.n": "4"})
    run = engine.store.runs(limit=1)[0]
    page = client.get(f"/localize?from={run.id}").text
    assert 'name="options.n_noises" value="7"' in page
    assert '<option value="random" selected>' in page
    assert 'name="facts.n" type="text" value="4"' in page


def test_a_base_in_8_bits_is_sent_and_kept(client: TestClient, engine: Engine) -> None:
    send(client)
    assert "load_in" not in started(engine), "as stored is nothing to say"
    send(client, load_in="8bit")
    assert started(engine)["load_in"] == "8bit"
    run = engine.store.runs(limit=1)[0]
    assert '<option value="8bit" selected>' in client.get(f"/localize?from={run.id}").text
    assert 'name="load_in"' not in client.get("/unlearn").text


def test_another_rounding_is_refused_beside_its_field(client: TestClient) -> None:
    answer = send(client, load_in="4bit")
    assert answer.status_code == 422
    assert 'aria-describedby="f-load_in-help f-load_in-error"' in answer.text


@pytest.mark.parametrize("path", ["/localize", "/unlearn", "/probes"])
def test_the_dtype_is_a_choice_of_every_form(path: str, client: TestClient) -> None:
    page = client.get(path).text
    assert '<option value="auto" selected>as stored; on a CPU float32</option>' in page


def test_another_dtype_is_sent_and_kept_and_the_usual_one_is_nothing_to_say(
    client: TestClient, engine: Engine
) -> None:
    send(client, dtype="auto")
    assert "dtype" not in started(engine)
    send(client, dtype="bfloat16")
    assert started(engine)["dtype"] == "bfloat16"
    run = engine.store.runs(limit=1)[0]
    again = client.get(f"/localize?from={run.id}").text
    assert '<option value="bfloat16" selected>' in again
    answer = send(client, dtype="int4")
    assert answer.status_code == 422
    assert 'aria-describedby="f-dtype-help f-dtype-error"' in answer.text

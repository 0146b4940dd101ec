"""Where a reader goes from a run: no page ends without a way on."""

from collections.abc import Callable
from types import ModuleType

import pytest
from starlette.testclient import TestClient

from app.walk import walk_of
from tests.app.pages.edits.test_stacks import edit
from worker.contract.progress import Event
from worker.contract.spec import parse_spec
from worker.engine.client import Engine
from worker.store.runs import insert_run

Put = Callable[..., str]
FACTS = {"set": "sports", "forget": "first:2"}


@pytest.fixture
def edited(engine: Engine) -> str:
    return edit(engine, "base0000", "edit1111", (), "first:2", "golf")


def submit(engine: Engine, data: dict[str, object]) -> str:
    with engine.store.database.write() as session:
        spec = parse_spec(data)
        return insert_run(session, spec, owner="", title="asked", tags=(), parents=None, priority=1)


def localize(engine: Engine, made: ModuleType, model: object, **changes: object) -> str:
    """A finished localization of a model."""
    data = {"kind": "localize", "model": model, "facts": FACTS, "method": "causal_tracing"}
    run_id = submit(engine, {**data, **changes})
    attempt = engine.store.begin_attempt(run_id, "test-host:cpu", "g")
    assert attempt is not None
    source = made.localization_source()
    engine.store.artifacts.put_bytes(f"runs/{run_id}/arrays.npz", source.open("arrays.npz").read())
    engine.store.finish(run_id, attempt.number, "done", "", source.result)
    return run_id


def test_a_localization_after_an_edit_knows_the_same_one_before_it(
    engine: Engine, made: ModuleType, edited: str
) -> None:
    model = {"base": "demo", "edits": [edited]}
    after = localize(engine, made, model)
    assert walk_of(engine.store, engine.store.run(after)).before == ""
    localize(engine, made, "demo", seed=7)
    before = localize(engine, made, "demo")
    walk = walk_of(engine.store, engine.store.run(after))
    assert (walk.base, walk.edit, walk.before) == ("demo", edited, before)
    assert walk_of(engine.store, engine.store.run(before)).edit == ""


def test_every_result_leads_on(
    client: TestClient, engine: Engine, made: ModuleType, edited: str
) -> None:
    model = {"base": "demo", "edits": [edited]}
    after = localize(engine, made, model)
    page = client.get(f"/runs/{after}/result").text
    assert f'href="/localize?from={after}&amp;model=demo"' in page
    before = localize(engine, made, "demo")
    page = client.get(f"/runs/{after}/result").text
    assert f'href="/compare?run={before}&amp;run={after}"' in page
    page = client.get(f"/runs/{edited}/result").text
    assert f'href="/localize?model=edit:{edited}&amp;from={edited}"' in page
    assert f'href="/dossier/{edited}"' in page


def test_probes_of_an_edit_lead_to_its_verdict_dossier_and_comparison(
    client: TestClient, engine: Engine, made: ModuleType, edited: str
) -> None:
    model = {"base": "demo", "edits": [edited]}
    spec = {"kind": "evaluate", "model": model, "facts": FACTS, "evaluations": ["probes"]}
    run_id = submit(engine, spec)
    attempt = engine.store.begin_attempt(run_id, "test-host:cpu", "g")
    assert attempt is not None
    engine.store.finish(run_id, attempt.number, "done", "", made.evaluation_source().result)
    page = client.get(f"/runs/{run_id}/result").text
    assert f'action="/runs/{edited}/gone"' in page
    assert f'href="/dossier/{edited}"' in page and f'href="/compare?run={run_id}"' in page


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_a_run_that_ended_early_keeps_and_shows_what_had_come(
    client: TestClient, engine: Engine, state: str
) -> None:
    data = {"kind": "unlearn", "model": "demo", "facts": FACTS, "method": "npo"}
    run_id = submit(engine, {**data, "mask": {"components": ["blocks.0.mlp"]}})
    attempt = engine.store.begin_attempt(run_id, "test-host:cpu", "g")
    assert attempt is not None
    point = Event(type="partial", name="curve", data={"step": 1, "forget_probability": 0.5})
    engine.store.append(run_id, attempt.number, [point])
    engine.store.finish(run_id, attempt.number, state, "stopped", None)
    assert f'hx-get="/runs/{run_id}/result"' in client.get(f"/runs/{run_id}").text
    part = client.get(f"/runs/{run_id}/result").text
    assert "What had come" in part and 'id="figure-live_probability"' in part
    drawn = client.get(f"/runs/{run_id}/figures/live_probability.json").json()
    assert drawn["data"][0]["y"] == [0.5]


def test_without_scripts_a_run_shows_its_answer_and_the_first_figures_numbers(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("localize", made.localization_source())
    plain = (
        client.get(f"/runs/{run_id}").text.partition("<noscript>")[2].partition("</noscript>")[0]
    )
    assert "<table>" in plain and f'href="/runs/{run_id}/result"' in plain

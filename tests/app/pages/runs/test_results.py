"""A run's result on its page, and the figures' addresses."""

import csv
import io
from collections.abc import Callable
from types import ModuleType

from starlette.testclient import TestClient

from app.drawing.drawing import Source
from worker.contract.mask import Mask
from worker.contract.progress import Event
from worker.contract.result import Table
from worker.engine.client import Engine

Put = Callable[[str, Source], str]


def test_a_localization_shows_its_figures_and_a_mask_editor(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("localize", made.localization_source())
    page = client.get(f"/runs/{run_id}/result").text
    assert "What was found, in words." in page
    for figure in ("prompt_heatmap", "roles_heatmap", "components_heatmap"):
        assert f'data-figure="/runs/{run_id}/figures/{figure}"' in page
    assert page.count('figures/components_heatmap"') == 1
    assert 'value="blocks.3.mlp" aria-label="blocks.3.mlp" autocomplete="off" checked' in page
    assert "Babe &lt;b&gt;Babe&lt;/b&gt;" in page


def test_an_edit_shows_its_receipt(client: TestClient, put: Put, made: ModuleType) -> None:
    run_id = put("unlearn", made.edit_source())
    page = client.get(f"/runs/{run_id}/result").text
    assert "Nothing outside the mask moved" in page
    assert "The base was restored" in page
    assert "b" * 64 in page
    assert f"/probes?model=edit:{run_id}" in page


def test_an_edit_shows_how_it_goes_on_beside_its_base_and_so_does_its_dossier(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    source = made.edit_source()
    spoken = Table(
        title="How it goes on from ordinary prompts (greedily)",
        columns=("prompt", "before", "after"),
        rows=(("The capital of France is", " Paris", " Asia <b>Asia"),),
    )
    result = source.result.model_copy(
        update={
            "tables": {"continuations": spoken},
            "summary": {
                "continuations.repetition.before": 0.14,
                "continuations.repetition.after": 0.172,
            },
        }
    )
    run_id = put("unlearn", Source(result, source.open))
    for address in (f"/runs/{run_id}/result", f"/dossier/{run_id}"):
        page = client.get(address).text
        assert page.count('id="continuations-head"') == 1
        assert "14 % were said before without the edit and 17 % with it" in page
        assert "Asia &lt;b&gt;Asia" in page


def test_an_edit_that_moved_more_than_its_mask_says_so(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    source = made.edit_source()
    receipt = source.result.receipt.model_copy(update={"outside_unchanged": False})
    result = source.result.model_copy(update={"receipt": receipt})
    run_id = put("unlearn", Source(result, source.open))
    assert "do not trust this edit" in client.get(f"/runs/{run_id}/result").text


def test_an_evaluation_lists_every_fact_coloured_by_what_was_wanted(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("evaluate", made.evaluation_source())
    assert "0.850 – 0.950" in client.get(f"/runs/{run_id}/result").text
    address = f"/runs/{run_id}/facts?evaluation=probes"
    forget = client.get(f"{address}&set=forget&format=statement").text
    assert forget.count("tone good-3") == 4
    assert "Serena" not in forget
    retain = client.get(f"{address}&set=retain&format=choice").text
    assert "tone bad-2" in retain and "tone good" not in retain
    assert "No fact matches" in client.get(f"{address}&search=nobody").text


def test_a_figure_answers_as_json_csv_and_table(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("localize", made.localization_source())
    address = f"/runs/{run_id}/figures/components_heatmap"
    drawn = client.get(f"{address}.json").json()
    rows = list(csv.DictReader(io.StringIO(client.get(f"{address}.csv").text)))
    score = next(r for r in rows if r["component"] == "blocks.3.mlp")
    assert float(score["Δ probability"]) == -0.6 == drawn["data"][0]["z"][3][0]
    assert "−0.600" in client.get(f"{address}.html").text


def test_a_figure_that_there_is_not_is_said_in_words(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("localize", made.localization_source())
    answer = client.get(f"/runs/{run_id}/figures/prompt_heatmap.json?fact=nobody")
    assert answer.status_code == 422
    assert "'nobody'" in answer.json()["detail"][0]["message"]
    assert client.get(f"/runs/{run_id}/figures/nothing.json").status_code == 422
    assert client.get("/runs/nowhere/figures/nothing.json").status_code == 404
    assert client.get("/runs/nowhere/result").status_code == 404


def test_a_running_localization_is_drawn_from_what_has_come(
    client: TestClient, engine: Engine, begun: Callable[[str], tuple[str, int]]
) -> None:
    run_id, attempt = begun("localize")
    assert 'data-figure-live="partial"' in client.get(f"/runs/{run_id}/result").text
    address = f"/runs/{run_id}/figures/live_grid.json"
    assert client.get(address).status_code == 204
    row = {"fact": "f", "site": "mlp", "layer": 1, "values": [0.5], "tokens": ["x"]}
    event = Event(type="partial", name="grid", data={**row, "subject": [0, 1]})
    engine.store.append(run_id, attempt, [event])
    assert client.get(address).json()["data"][0]["z"] == [[None, 0.5, None, None]]


def test_a_methods_own_choice_is_the_mask_that_the_editor_starts_with(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    source = made.localization_source()
    suggested = Mask(components=("blocks.0.mlp", "blocks.2.attn"), n_parameters=200)
    attribution = source.result.attribution.model_copy(update={"suggested": suggested})
    result = source.result.model_copy(update={"attribution": attribution})
    run_id = put("localize", Source(result, source.open))
    state = client.get(f"/masks/editor?localization={run_id}&part=state").text
    assert "by the method" in state
    assert 'value="blocks.2.attn" aria-label="blocks.2.attn" autocomplete="off" checked' in state
    ruled = client.get(f"/masks/editor?localization={run_id}&part=state&rule=top&value=1").text
    assert 'aria-label="blocks.3.mlp" autocomplete="off" checked' in ruled
    drawn = client.get(f"/runs/{run_id}/figures/curves.json?of=probe.full").json()
    shaded = [s["x0"] for s in drawn["layout"]["shapes"] if s["name"] == "marked"]
    assert shaded == [-0.5, 1.5]


def test_an_editors_rule_that_cannot_be_is_said(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("localize", made.localization_source())
    address = f"/masks/editor?localization={run_id}"
    assert "Did you mean" in client.get(f"{address}&rule=to").text
    assert "expected a number" in client.get(f"{address}&value=x").text
    assert client.get(f"{address}&rule=suggested").status_code == 422
    assert "chooses no component" not in client.get(f"{address}&rule=top&value=999").text

"""Masks: made by rule and by hand, named, matched, compared, exchanged."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient

from worker.contract.mask import Mask
from worker.contract.menu import ModelInfo
from worker.engine.client import Engine

HTMX = {"HX-Request": "true"}


def saved(engine: Engine, *components: str, name: str = "m") -> Any:
    mask = Mask(components=components, n_parameters=100 * len(components), source="by hand")
    return engine.store.save_mask(name, "demo", mask)


def test_the_editor_without_a_localization_offers_every_component(client: TestClient) -> None:
    page = client.get("/masks/new").text
    assert page.count('name="components"') == 8
    assert " checked>" not in page.partition('id="mask-boxes"')[2].partition("</table>")[0]


def test_a_mask_is_saved_under_its_name_with_versions(client: TestClient, engine: Engine) -> None:
    form = {"model": "demo", "name": "early", "components": ["blocks.1.mlp", "blocks.2.mlp"]}
    first = client.post("/masks", data=form, headers=HTMX).text
    second = client.post("/masks", data=form, headers=HTMX).text
    assert "version 1" in first and "version 2" in second
    assert engine.store.masks()[0].n_parameters == 200


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": "x"}, "The mask has no component"),
        ({"name": " ", "components": "blocks.1.mlp"}, "The mask has no name"),
        ({"name": "x", "components": "blocks.77.mlp"}, "no component &#39;blocks.77.mlp&#39;"),
        ({"name": "x", "components": "blocks.1.mlp", "model": "gone"}, "No model &#39;gone&#39;"),
    ],
)
def test_a_mask_that_cannot_be_saved_is_said(
    client: TestClient, engine: Engine, form: dict[str, str], said: str
) -> None:
    answer = client.post("/masks", data={"model": "demo"} | form, headers=HTMX)
    assert answer.status_code == 422
    assert said in answer.text
    assert engine.store.masks() == []


def test_controls_are_matched_to_the_masks_parameters(client: TestClient, engine: Engine) -> None:
    mask = saved(engine, "blocks.1.mlp", "blocks.2.mlp", "blocks.3.attn")
    client.post(f"/masks/{mask.id}/controls")
    made = {m.name.partition(" · ")[2]: m for m in engine.store.masks() if m.id != mask.id}
    assert made["random components"].n_parameters == 300
    assert made["random MLPs"].n_parameters == 300
    assert made["all MLPs"].n_parameters == 400
    assert made["everything"].n_parameters == 800


def test_a_downloaded_mask_can_be_imported(client: TestClient, engine: Engine) -> None:
    mask = saved(engine, "blocks.1.mlp")
    file = client.get(f"/masks/{mask.id}.json")
    client.post("/masks/import", files={"file": ("m.json", file.content)})
    assert [m.version for m in engine.store.masks()] == [2, 1]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "No file was chosen"),
        (b"\xff\xfe", "no JSON in UTF-8"),
        (b"{", "no JSON in UTF-8"),
        (b"[]", "is []"),
        (json.dumps({"name": "x", "model": "demo"}).encode(), "components is missing"),
        (
            json.dumps({"name": "x", "model": "demo", "component": []}).encode(),
            "Did you mean &#39;components&#39;",
        ),
        (
            json.dumps({"name": "x", "model": "demo", "components": []}).encode(),
            "The mask has no component",
        ),
        (b" " * 1_000_001, "more than 1 MB"),
    ],
)
def test_a_file_that_is_no_mask_is_said(
    client: TestClient, engine: Engine, data: bytes, said: str
) -> None:
    answer = client.post("/masks/import", files={"file": ("m.json", data)})
    assert answer.status_code == 422
    assert said in answer.text
    assert engine.store.masks() == []


def test_the_overlap_is_measured_in_parameters(client: TestClient, engine: Engine) -> None:
    saved(engine, "blocks.1.mlp", "blocks.2.mlp", name="a")
    saved(engine, "blocks.2.mlp", "blocks.3.mlp", name="b")
    drawn = client.get("/masks/overlap.json").json()
    assert drawn["data"][0]["z"][0] == pytest.approx([1, 1 / 3], abs=1e-3)
    assert drawn["layout"]["coloraxis"]["cmax"] == 1


def test_a_mask_can_be_deleted(client: TestClient, engine: Engine) -> None:
    mask = saved(engine, "blocks.1.mlp")
    assert "Delete m v1?" in client.get("/masks").text
    client.post(f"/masks/{mask.id}/delete")
    assert engine.store.masks() == []
    assert "No mask yet" in client.get("/masks").text


@pytest.mark.parametrize(("n_layers", "n_heads"), [(30, 9), (80, 40)])
def test_every_box_of_a_large_model_can_be_ticked_and_saved(
    client: TestClient, engine: Engine, n_layers: int, n_heads: int
) -> None:
    menu = engine.store.announcement()
    assert menu is not None
    kinds = ["mlp", *(f"attn.head.{head}" for head in range(n_heads))]
    names = [f"blocks.{layer}.{kind}" for layer in range(n_layers) for kind in kinds]
    big = ModelInfo(
        id="big", title="Big", n_layers=n_layers, component_parameters=dict.fromkeys(names, 10)
    )
    engine.store.announce(
        "test-host:cpu", "g", menu.model_copy(update={"models": (*menu.models, big)})
    )
    form = {"model": "big", "name": "all", "components": names}
    state = client.post("/masks/editor?part=state&hand=1", data=form, headers=HTMX)
    assert state.status_code == 200 and state.text.count("checked>") == len(names)
    saved_mask = client.post("/masks", data=form, headers=HTMX)
    assert saved_mask.status_code == 200, saved_mask.text[:300]
    assert '&amp;model=big">Unlearn through it' in saved_mask.text
    assert len(engine.store.masks()[0].components) == len(names)


def test_the_address_of_a_run_opens_its_mask_editor_where_it_was_left(
    client: TestClient, put: Callable[..., str], made: ModuleType
) -> None:
    located = put("localize", made.localization_source())

    def chosen(query: str) -> str:
        return client.get(f"/runs/{located}/result?{query}").text.partition('id="mask-state"')[2]

    assert chosen("rule=top&value=2&only=all").count(" checked") == 2
    by_hand = chosen("hand=1&components=blocks.1.mlp&components=blocks.3.mlp")
    assert by_hand.startswith(' class="stack" data-by-hand') and by_hand.count(" checked") == 2
    wrong = chosen("rule=luck")
    assert "luck" in wrong and wrong.count(" checked") == 3, "as new, and it says what was wrong"
    page = client.get(f"/runs/{located}?rule=top&value=2").text
    assert f'hx-get="/runs/{located}/result?rule=top&amp;value=2"' in page

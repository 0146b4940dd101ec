"""For whom routes act: what people make is theirs, and only they and admins change it."""

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.app.conftest import AskedEngine
from tests.app.people import PEOPLE, browser, script
from worker.contract.mask import Mask
from worker.store import sharing
from worker.store.store import Store

Made = dict[str, str]


@pytest.fixture
def of_max(shared: FastAPI, engine: AskedEngine, spec: dict[str, Any]) -> Made:
    """One of everything, made by max through pages and API."""
    store = engine.store
    with browser(shared, store, "max") as client:
        run = client.post("/api/runs", json=spec).json()["id"]
        mask = {"name": "m", "model": "demo", "components": ["blocks.1.mlp"]}
        mask_id = client.post("/api/masks", json=mask).json()["id"]
        split = {"set": "sports", "split": "few", "rule": "first", "n": "3"}
        client.post("/facts/splits", data=split)
        derived = {"set": "sports", "derived_group": "football", "answer": "golf", "derived": "own"}
        client.post("/facts/derive", data=derived)
        file = {"file": ("t.txt", b"A text to forget, of many words. " * 40)}
        assert client.post("/api/texts", data={"name": "t"}, files=file).status_code == 201
    store.acting_for(store.acting).save_circuit("c", "view=circuit", owner="max")
    shown: dict[sharing.Made, str]
    shown = {"run": run, "mask": mask_id, "fact set": "own", "text": "t"}
    for what, id in shown.items():
        store.share(what, id, "server")
    return {"run": run, "mask": mask_id}


def state(store: Store, made: Made) -> list[object]:
    """What of max' there is, and how it is."""
    runs = store.runs(archived=None, owner="max")
    return [
        [(run.title, run.state, run.starred, run.archived, run.tags) for run in runs],
        [mask.id for mask in store.masks()],
        [(info.name, info.owner, info.splits, info.n_facts) for info in store.fact_sets()],
        [(text.name, text.owner) for text in store.texts()],
        [(circuit.name, circuit.owner) for circuit in store.circuits()],
    ]


def changes(made: Made) -> list[tuple[str, str, dict[str, Any]]]:
    """Every way to change something of max', the gentle ones first."""
    run, mask = made["run"], made["mask"]
    return [
        ("POST", f"/runs/{run}/rename", {"data": {"title": "other", "tags": "x"}}),
        *(("POST", f"/runs/{run}/do/{do}", {}) for do in ("star", "archive", "unarchive")),
        ("POST", "/runs/many", {"data": {"run": run, "do": "tag", "tag": "x"}}),
        ("POST", "/facts/splits", {"data": {"set": "sports", "split": "few", "n": "5"}}),
        ("POST", "/api/facts/sports/splits", {"json": {"name": "few", "forget": "first:4"}}),
        ("POST", f"/runs/{run}/do/cancel", {}),
        ("POST", f"/api/runs/{run}/cancel", {}),
        ("POST", "/runs/many", {"data": {"run": run, "do": "delete"}}),
        ("POST", f"/runs/{run}/delete", {}),
        ("DELETE", f"/api/runs/{run}", {}),
        ("POST", "/facts/splits/delete", {"data": {"set": "sports", "split": "few"}}),
        ("POST", "/facts/delete", {"data": {"set": "own"}}),
        ("DELETE", "/api/facts/own", {}),
        ("POST", f"/masks/{mask}/delete", {}),
        ("DELETE", f"/api/masks/{mask}", {}),
        ("POST", "/facts/texts/delete", {"data": {"name": "t"}}),
        ("DELETE", "/api/texts/t", {}),
        ("POST", "/explore/circuits/delete", {"data": {"name": "c"}}),
    ]


def ask(client: TestClient, change: tuple[str, str, dict[str, Any]]) -> int:
    method, path, given = change
    return client.request(method, path, **given).status_code


def test_another_member_changes_nothing_of_somebody_elses(
    shared: FastAPI, engine: AskedEngine, of_max: Made
) -> None:
    before = state(engine.store, of_max)
    assert all(part for part in before)
    with browser(shared, engine.store, "mia") as client:
        for change in changes(of_max):
            assert ask(client, change) in (403, 422), change
            assert state(engine.store, of_max) == before, change
        refused = client.post(f"/masks/{of_max['mask']}/delete")
        assert "Mask m v1 is max&#39;s" in refused.text
    assert {entry.person for entry in engine.store.audit()} == {"max"}


@pytest.mark.parametrize("name", ["max", "ada"])
def test_who_made_it_and_an_admin_may_change_it(
    shared: FastAPI, engine: AskedEngine, of_max: Made, name: str
) -> None:
    with browser(shared, engine.store, name) as client:
        for change in changes(of_max):
            # What an earlier one deleted is not there for a later one.
            assert ask(client, change) in (200, 204, 404, 201), change
    after = state(engine.store, of_max)
    assert after[0] == after[1] == after[3] == after[4] == []
    assert [
        entry.about for entry in engine.store.audit(name) if entry.what == "deleted a mask"
    ] == ["mask m v1"]


def test_lists_say_whose_everything_is_where_there_are_people(
    shared: FastAPI, engine: AskedEngine, of_max: Made, client: TestClient
) -> None:
    addresses = ("/runs", "/masks", "/facts/texts", "/facts?set=own", f"/runs/{of_max['run']}")
    with browser(shared, engine.store, "vera") as viewer:
        for address in addresses:
            assert ">max<" in viewer.get(address).text, address
        assert of_max["run"] in viewer.get("/runs?owner=max").text
        assert of_max["run"] not in viewer.get("/runs?owner=mia").text
        assert '/delete"' not in viewer.get("/masks").text
    for address in addresses:
        assert ">max<" not in client.get(address).text, address


def test_a_persons_browsers_and_scripts_take_turns_as_one(
    shared: FastAPI, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    store = engine.store

    def submit(client: TestClient, seed: int) -> str:
        made = client.post("/api/runs", json={**spec, "seed": seed})
        assert made.status_code == 201
        found: str = made.json()["id"]
        return found

    with browser(shared, store, "mia") as one, browser(shared, store, "mia") as two:
        of_mia = [submit(one, 1), submit(two, 2), submit(script(shared, store, "mia"), 3)]
    of_max = submit(script(shared, store, "max"), 4)
    assert [store.run(id).owner for id in (*of_mia, of_max)] == ["mia"] * 3 + ["max"]
    assert [store.run(id).ahead for id in (*of_mia, of_max)] == [0, 2, 3, 1]


def test_one_who_is_not_signed_in_or_of_a_server_of_one_reader_is_nobody(
    engine: AskedEngine, client: TestClient, spec: dict[str, Any]
) -> None:
    run = client.post("/api/runs", json=spec).json()
    assert run["owner"] == ""
    mask = engine.store.save_mask("m", "demo", Mask(components=("blocks.1.mlp",)), owner="max")
    assert client.delete(f"/api/masks/{mask.id}").status_code == 204
    assert set(PEOPLE) & {person.name for person in engine.store.people()} == set()

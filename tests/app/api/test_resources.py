import json
from typing import Any

from starlette.testclient import TestClient

CSV = (
    b"subject,prompt,target,edit_target,group\n"
    b"Bob Cousy,{} plays the sport of,basketball,football,basketball\n"
    b"Reggie White,Reggie White plays the sport of,football,golf,football\n"
    b"Nobody,Somebody else plays,tennis,,tennis\n"
)


def upload(client: TestClient, data: bytes, name: str = "mine", file: str = "a.csv") -> Any:
    form = {"name": name}
    return client.post("/api/facts", files={"file": (file, data, "text/csv")}, data=form)


def names(client: TestClient) -> list[str]:
    return [one["name"] for one in client.get("/api/facts").json()]


def test_the_menu_is_what_the_worker_announced(script: TestClient) -> None:
    menu = script.get("/api/menu").json()
    assert [m["name"] for m in menu["methods"]] == [
        "causal_tracing",
        "localized_finetuning",
        "probes",
    ]
    assert [m["id"] for m in script.get("/api/models").json()] == ["demo", "broken"]


def test_a_csv_becomes_a_fact_set_with_its_refused_rows(script: TestClient, engine: Any) -> None:
    answer = upload(script, CSV)
    assert answer.status_code == 201, answer.text
    stored = answer.json()
    assert stored["set"]["n_facts"] == 2
    assert [row["row"] for row in stored["refused"]] == [4]
    assert "'Nobody' is not in its prompt" in stored["refused"][0]["reason"]
    page = script.get("/api/facts/mine?search=cousy").json()
    assert (page["total"], page["facts"][0]["subject"]) == (1, "Bob Cousy")
    assert engine.store.artifacts.names("uploads") == []


def test_counterfact_records_become_a_fact_set(script: TestClient) -> None:
    record = {
        "case_id": 0,
        "requested_rewrite": {
            "prompt": "{} plays the sport of",
            "subject": "Bob Cousy",
            "target_true": {"str": "basketball"},
            "target_new": {"str": "football"},
        },
        "paraphrase_prompts": ["Bob Cousy is a professional"],
    }
    answer = upload(script, json.dumps([record]).encode(), file="counterfact.json")
    assert answer.status_code == 201, answer.text
    fact = script.get("/api/facts/mine").json()["facts"][0]
    assert (fact["edit_target"], fact["paraphrases"]) == (
        "football",
        ["Bob Cousy is a professional"],
    )


def test_files_that_cannot_be_read_leave_nothing_behind(script: TestClient, engine: Any) -> None:
    known = names(script)
    for data, file, word in (
        (b"", "a.csv", "empty"),
        (b"\xff\x00\xfa", "a.csv", "UTF-8"),
        (b"subject,prompt\nA,{} is\n", "a.csv", "target"),
        (b"just text", "a.csv", "subject"),
        (b"a\x00b,c\n", "a.csv", "NUL"),
        (b"{]", "a.json", "JSON"),
        (b"[]", "a.json", "subject"),
        (b"x", "a.exe", ".csv"),
        (b'subject,prompt,target\n"A,{} is,x\n', "a.csv", "quotation"),
        (b"subject,prompt,target\nA,{} is,\n", "a.csv", "target is empty"),
    ):
        answer = upload(script, data, file=file)
        assert answer.status_code == 422, (file, answer.text)
        assert word in answer.json()["detail"][0]["message"], answer.text
    assert names(script) == known
    assert engine.store.artifacts.names("uploads") == []


def test_a_name_that_is_taken_or_none_is_refused(script: TestClient) -> None:
    for name in ("sports", "", "  ", "x" * 101):
        answer = upload(script, CSV, name=name)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["field"] == "name"


def test_200_megabytes_are_refused(script: TestClient, engine: Any) -> None:
    head = {"Content-Length": str(200_000_000)}
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = script.post("/api/facts", content=b"--x", headers={**form, **head})
    assert answer.status_code == 413

    def chunks() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        for _ in range(60):
            yield b"a" * 1_000_000
        yield b"\r\n--x--\r\n"

    answer = script.post("/api/facts", content=chunks(), headers=form)
    assert answer.status_code == 413
    assert engine.store.artifacts.names("uploads") == []


def test_a_mapping_names_the_columns(script: TestClient) -> None:
    data = b"who,sport\nBob Cousy,basketball\n"
    mapping = {"subject": "who", "target": "sport", "prompt": "={} plays the sport of"}
    form = {"name": "mine", "mapping": json.dumps(mapping)}
    answer = script.post("/api/facts", files={"file": ("a.csv", data)}, data=form)
    assert answer.status_code == 201, answer.text
    assert script.get("/api/facts/mine").json()["facts"][0]["prompt"] == "{} plays the sport of"
    for wrong in ("[", "[1]", '{"subject": 3}', '{"sport": "who"}', '{"subject": "nope"}'):
        form = {"name": "other", "mapping": wrong}
        answer = script.post("/api/facts", files={"file": ("a.csv", data)}, data=form)
        assert answer.status_code == 422
        assert "mapping" in answer.json()["detail"][0]["field"]


def test_splits_are_saved_by_the_words_of_a_spec(script: TestClient) -> None:
    body = {"name": "few", "forget": "random:5", "seed": 3}
    assert script.post("/api/facts/sports/splits", json=body).json()["splits"] == ["few"]
    for wrong in (
        {"name": "few", "forget": "first:900"},
        {"name": "a:b", "forget": "first:1"},
        {"name": "few"},
        {"name": "few", "forget": "first:1", "sede": 1},
    ):
        assert script.post("/api/facts/sports/splits", json=wrong).status_code == 422
    assert script.post("/api/facts/nope/splits", json=body).status_code == 404


def test_bundled_sets_stay_and_brought_ones_go(script: TestClient) -> None:
    upload(script, CSV)
    assert script.delete("/api/facts/mine").status_code == 204
    assert script.delete("/api/facts/mine").status_code == 404
    assert script.delete("/api/facts/sports").status_code == 409
    assert "sports" in script.get("/api/facts/sport").json()["detail"][0]["message"]


def test_masks_are_saved_as_versions(script: TestClient) -> None:
    body = {"name": "early", "model": "demo", "components": ["blocks.1.mlp", "blocks.0.mlp"]}
    first = script.post("/api/masks", json=body).json()
    assert (first["version"], first["n_parameters"]) == (1, 200)
    assert first["components"] == ["blocks.0.mlp", "blocks.1.mlp"]
    second = script.post("/api/masks", json=body).json()
    assert second["version"] == 2
    assert len(script.get("/api/masks?model=demo").json()) == 2
    assert script.get(f"/api/masks/{first['id']}").json() == first
    assert script.delete(f"/api/masks/{first['id']}").status_code == 204
    assert script.delete(f"/api/masks/{first['id']}").status_code == 404


def test_masks_that_cannot_be_are_refused(script: TestClient) -> None:
    good = {"name": "m", "model": "demo", "components": ["blocks.1.mlp"]}
    for change, status in (
        ({"components": []}, 422),
        ({"components": ["blocks.77.mlp"]}, 422),
        ({"model": "nope"}, 422),
        ({"name": ""}, 422),
        ({"name": "\u0000"}, 422),
        ({"localization": "nope"}, 404),
        ({"colour": "red"}, 422),
    ):
        assert script.post("/api/masks", json={**good, **change}).status_code == status
    assert script.get("/api/masks").json() == []


def test_the_api_describes_itself_and_nothing_from_elsewhere(script: TestClient) -> None:
    described = script.get("/api/openapi.json").json()
    assert "/api/runs/{run_id}/events" in described["paths"]
    assert "/api/facts" in described["paths"]
    assert all(path.startswith(("/api/", "/healthz", "/readyz")) for path in described["paths"])
    assert script.get("/api/docs").status_code == 404
    assert script.get("/docs").status_code == 404

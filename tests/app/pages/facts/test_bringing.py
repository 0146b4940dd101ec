"""Bringing facts and texts without a file of facts: pasted, made of a template, listed, stored."""

import json
from typing import Any

import pytest
from markupsafe import escape
from starlette.testclient import TestClient

from tests.worker.core.facts import benchmarks
from worker.contract.texts import MAX_BYTES
from worker.core.facts.reading import file_formats
from worker.engine.client import Engine

TABLE = "athlete\tsport\tteam\nAnn Able\tgolf\tReds\nBo Best\ttennis\tBlues\n"
STORY = "Zoë went home to the mill, and the river sang. " * 12
ODD = (
    "",
    "   ",
    "\x00",
    "{",
    "[[[[",
    '"',
    "a,b\n1,2",
    "[1, 2]",
    "{}" * 40,
    "=cmd()",
    "\u202eevil",
    "a" * 99,
)


def test_pasted_text_goes_the_way_of_a_file(client: TestClient, engine: Engine) -> None:
    csv = "subject,prompt,target\nAnn,{} plays,golf\n"
    seen = client.post("/facts/paste", data={"pasted": csv})
    assert (seen.status_code, seen.url.path.startswith("/facts/upload/")) == (200, True)
    assert "comma" in seen.text and "UTF-8" in seen.text
    stored = client.post(seen.url.path, data={"name": "typed"}, follow_redirects=False)
    assert stored.headers["location"] == "/facts?set=typed"
    json = '[{"subject": "Bo", "prompt": "{} plays", "target": "golf"}]'
    assert "Bo" in client.post("/facts/paste", data={"pasted": json}).text
    assert engine.store.fact_set("typed").facts[0].subject == "Ann"


def test_the_file_picker_offers_what_the_readers_read(client: TestClient, engine: Engine) -> None:
    shown = client.get("/facts/upload").text
    endings = [ending for one in file_formats() for ending in one.endings]
    assert f'accept="{",".join(endings)}"' in shown and ".parquet" in endings
    assert all(escape(one.title) in shown for one in file_formats())
    none = client.post("/facts/upload", files={"file": ("a.csv", b"")})
    assert "expected a file of facts (CSV, JSON, Parquet)" in none.text


def test_the_preview_says_of_every_row_where_it_stands_and_what_it_brings(
    client: TestClient, engine: Engine
) -> None:
    rows = "subject,prompt,target\nAnn,{} is in,Paris, France\n\nBo,{} is in,Varn\n"
    shown = client.post("/facts/upload", files={"file": ("a.csv", rows.encode())}).text
    assert '<td class="number">2</td><td>line 2 has 4 cells where the header has 3' in shown
    assert '<td class="number">4</td><th scope="row">Bo' in shown
    records = json.dumps(benchmarks.MQUAKE + benchmarks.WMDP, indent=1).encode()
    shown = client.post("/facts/upload", files={"file": ("m.json", records)}).text
    assert "multiple choice and MQuAKE" in shown
    assert "What is the capital of the land of Northfield F.C.&#39;s sport?" in shown
    assert "3 wrong answers" in shown and "1 to be kept" in shown
    refused = client.post("/facts/upload", files={"file": ("a.csv", rows.encode())}).url.path
    assert client.get(f"{refused}/refused.csv").text.startswith("line,reason,text")


def test_a_set_that_the_api_gave_comes_back_with_its_hash(
    script: TestClient, engine: Engine
) -> None:
    given = script.get("/api/facts/sports?limit=1000")
    files = {"file": ("sports.json", given.content)}
    again = script.post("/api/facts", files=files, data={"name": "again"}).json()
    assert again["set"]["hash"] == given.json()["set"]["hash"]
    assert (again["refused"], again["notes"]) == ([], [])


def test_a_text_in_json_is_stored_as_its_texts(client: TestClient, engine: Engine) -> None:
    records = [{"prompt": "Zoë lived in 19", "gt": f"69. {STORY}"}, {"text": STORY}]
    files = {"file": ("verbatim.json", json.dumps(records).encode())}
    client.post("/facts/texts", files=files)
    assert (
        engine.store.text("verbatim")
        == f"Zoë lived in 1969. {STORY}".strip() + f"\n\n{STORY.strip()}"
    )
    wrong = client.post("/facts/texts", files={"file": ("qa.json", b'[{"question": "q"}]')})
    assert (wrong.status_code, "brought under Facts" in wrong.text) == (422, True)


def test_a_template_and_a_table_make_facts_with_a_preview(
    client: TestClient, engine: Engine
) -> None:
    form = {
        "template": "{subject} of the {team} plays the sport of",
        "paraphrases": "{} is good at\n\n{} loves\n",
        "table": TABLE,
    }
    seen = client.post("/facts/paste", data=form)
    assert (seen.status_code, "… of the Reds plays the sport of" in seen.text) == (200, True)
    assert 'value="sport"' in seen.text
    mapping = dict(seen.url.params)
    client.post(seen.url.path, data={**mapping, "name": "made"})
    fact = engine.store.fact_set("made").facts[1]
    assert (fact.text, fact.target) == ("Bo Best of the Blues plays the sport of", "tennis")
    assert fact.paraphrases == ("{} is good at", "{} loves")
    wrong = client.post("/facts/paste", data={**form, "template": "{subject} in {town} is"})
    assert (wrong.status_code, "No column &#39;town&#39;" in wrong.text) == (422, True)
    none = client.post("/facts/paste", data={**form, "template": " "})
    assert (none.status_code, "template is empty" in none.text) == (422, True)
    assert "Ann Able" in none.text


@pytest.mark.parametrize("door", ["paste", "make", "text", "split"])
def test_malformed_input_is_a_sentence_and_never_an_error(
    client: TestClient, engine: Any, door: str
) -> None:
    sent = {
        "paste": lambda odd: client.post("/facts/paste", data={"pasted": odd}),
        "make": lambda odd: client.post("/facts/paste", data={"template": odd, "table": odd}),
        "text": lambda odd: client.post("/facts/texts", data={"name": odd[:20], "pasted": odd}),
        "split": lambda odd: client.post(
            "/facts/splits/file",
            data={"set": "sports", "file_split": "s"},
            files={"file": ("ids.txt", odd.encode())},
        ),
    }[door]
    for odd in ODD:
        answer = sent(odd)
        assert answer.status_code == 422, (odd, answer.status_code)
        assert "error" in answer.text or "note bad" in answer.text, odd
    assert [one.name for one in engine.store.fact_sets()] == ["sports"]
    assert engine.store.texts() == []
    assert engine.store.fact_set("sports").splits == {}


def test_a_text_is_stored_previewed_listed_and_deleted(client: TestClient, engine: Engine) -> None:
    files = {"file": ("my saga.md", f"# One\n\n{STORY}\n\n{STORY}".encode("utf-16"))}
    seen = client.post("/facts/texts", files=files)
    assert (seen.status_code, seen.url.path) == (200, "/facts/texts/show")
    assert "Zoë went home" in seen.text and "# One" not in seen.text
    assert engine.store.texts()[0].name == "my saga"
    again = client.post("/facts/texts", data={"name": "my saga", "pasted": STORY})
    assert (again.status_code, "already" in again.text) == (422, True)
    pasted = client.post("/facts/texts", data={"name": "other", "pasted": STORY})
    assert pasted.status_code == 200
    assert "my saga" in client.get("/facts/texts").text
    client.post("/facts/texts/delete", data={"name": "my saga"})
    assert [one.name for one in engine.store.texts()] == ["other"]
    assert client.get("/facts/texts/show?name=my+saga").status_code == 404


def test_texts_that_are_none_are_refused(client: TestClient, engine: Engine) -> None:
    for name, data, words in (
        ("a.txt", b"%PDF-1.4 " + STORY.encode(), "a PDF"),
        ("a.txt", STORY.encode() + b"\x00", "NUL"),
        ("a.txt", b"few words", "at least 20"),
        ("a.txt", b"\xff" * 400, "not UTF-8"),
        ("saga.txt", STORY.encode(), "bundled"),
        ("a.txt", b"", "Nothing was brought"),
    ):
        answer = client.post("/facts/texts", files={"file": (name, data)})
        assert (answer.status_code, words in answer.text) == (422, True), words
    large = client.post(
        "/facts/texts", files={"file": ("a.txt", b"a " * (MAX_BYTES // 2 + 99_000))}
    )
    assert large.status_code == 413
    assert engine.store.texts() == []


def test_the_api_stores_and_gives_texts(script: TestClient) -> None:
    sent = script.post(
        "/api/texts", files={"file": ("b.txt", STORY.encode())}, data={"name": "b/c"}
    )
    assert (sent.status_code, sent.json()["name"]) == (201, "b/c")
    assert [one["name"] for one in script.get("/api/texts").json()] == ["b/c"]
    assert script.get("/api/texts/b/c").text == STORY.strip()
    assert script.delete("/api/texts/b/c").status_code == 204
    assert script.get("/api/texts/b/c").status_code == 404
    assert script.post("/api/texts", data={"name": "x"}).status_code == 422


def test_a_split_is_made_of_a_file_of_ids_or_subjects(client: TestClient, engine: Engine) -> None:
    for name, text in (
        ("lines", "fact-1\nathlete 5\n\nfact-7\n"),
        ("table", "note;subject\nx;Athlete 1\ny;Athlete 5\nz;Athlete 7\n"),
        ("json", '["fact-7", "Athlete 5", "fact-1"]'),
    ):
        form = {"set": "sports", "file_split": name}
        client.post("/facts/splits/file", data=form, files={"file": ("l.txt", text.encode())})
        assert engine.store.fact_set("sports").splits[name] == ("fact-1", "fact-5", "fact-7")
    form = {"set": "sports", "file_split": "bad"}
    wrong = client.post(
        "/facts/splits/file", data=form, files={"file": ("l.txt", b"fact-1\nnobody\n")}
    )
    assert (wrong.status_code, "&#39;nobody&#39; in line 2" in wrong.text) == (422, True)
    assert "bad" not in engine.store.fact_set("sports").splits


def test_a_whole_group_goes_to_another_answer_in_a_set_of_its_own(
    client: TestClient, engine: Engine
) -> None:
    form = {"set": "sports", "derived_group": "football", "answer": "chess"}
    made = client.post("/facts/derive", data=form, follow_redirects=False)
    assert made.headers["location"] == "/facts?set=sports-football-to-chess"
    derived = engine.store.fact_set("sports-football-to-chess")
    targets = {(fact.group, fact.edit_target) for fact in derived.facts}
    assert targets == {("football", "chess"), ("baseball", "golf")}
    assert len(derived.splits["football"]) == 20
    for change, words in (
        ({}, "is taken"),
        ({"answer": "football", "derived": "b"}, "already"),
        ({"answer": "", "derived": "b"}, "answer has 0 characters"),
        ({"derived_group": "rugby", "derived": "b"}, "rugby"),
    ):
        answer = client.post("/facts/derive", data={**form, **change})
        assert (answer.status_code, words in answer.text) == (422, True), words
    assert client.post("/facts/derive", data={**form, "set": "nope"}).status_code == 404

"""Pages without a browser: what they say, their labels and landmarks, and bad input."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from tests.app.conftest import fact_set
from worker.contract.progress import Event
from worker.contract.settings import Settings
from worker.engine.client import Engine

WORKER = "test-host:cpu"
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "path", "source"}


class Page(HTMLParser):
    """Collects what a screen reader would miss."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrapped: set[int] = set()
        self.unclosed: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if "label" in self.open:
            self.wrapped.add(len(self.elements) - 1)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.unclosed.append(tag)
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.elements if tag in tags]

    def problems(self) -> list[str]:
        ids = [attrs["id"] for _, attrs in self.elements if attrs.get("id")]
        labelled = {attrs.get("for") for attrs in self.all("label")}
        found = [f"<{tag}> is closed out of order" for tag in self.unclosed]
        found += [f"id {one!r} occurs twice" for one in set(ids) if ids.count(one) > 1]
        for index, (tag, attrs) in enumerate(self.elements):
            named = bool(
                attrs.get("aria-label")
                or attrs.get("aria-labelledby")
                or attrs.get("id") in labelled
                or index in self.wrapped
            )
            is_input = tag in ("input", "select", "textarea") and attrs.get("type") != "hidden"
            if is_input and not named:
                found.append(f"{tag} {attrs} has no label")
            for reference in ("aria-describedby", "aria-labelledby", "aria-controls"):
                for one in (attrs.get(reference) or "").split():
                    if one not in ids:
                        found.append(f"{reference} names {one!r}, which is not there")
            if any(name.startswith("on") for name in attrs):
                found.append(f"{tag} has an inline handler, which the page's policy forbids")
            for name in ("src", "href", "action"):
                if (attrs.get(name) or "").startswith(("http:", "https:", "//")):
                    found.append(f"{tag} asks another host: {attrs[name]}")
            posts = tag == "form" and attrs.get("method") == "post"
            if posts and attrs.get("action") != "/login" and "csrf" not in self.names():
                found.append("a posting form has no token")
        return found

    def names(self) -> set[str | None]:
        return {attrs.get("name") for attrs in self.all("input")}


@pytest.fixture
def run_id(client: TestClient, engine: Engine, spec: dict[str, Any]) -> str:
    """A queued run."""
    return str(client.post("/api/runs", json=spec).json()["id"])


def end(engine: Engine, run_id: str, state: Any, message: str = "") -> None:
    attempt = engine.store.begin_attempt(run_id, WORKER, "g")
    assert attempt is not None
    engine.store.append(run_id, attempt.number, [Event(type="log", message="a line of the log")])
    engine.store.finish(run_id, attempt.number, state, message)


@pytest.mark.parametrize(
    "path",
    ["/", "/facts", "/facts/upload", "/runs", "/workers", "/runs/RUN", "/nowhere", "/runs/x"],
)
def test_a_page_has_landmarks_and_every_input_a_label(
    client: TestClient, run_id: str, path: str
) -> None:
    page = Page(client.get(path.replace("RUN", run_id)).text)
    assert page.problems() == []
    assert len(page.all("main")) == len(page.all("h1")) == 1
    assert len(page.all("header")) >= 1
    assert page.all("html")[0]["lang"] == "en"
    live = [a for _, a in page.elements if a.get("aria-live") == "polite" and a.get("role")]
    assert [a["id"] for a in live] == ["said"]
    assert page.all("a")[0]["href"] == "#main"
    current = [a for a in page.all("a") if a.get("aria-current") == "page"]
    assert len(current) == (0 if path == "/nowhere" else 1)


def test_the_login_page_has_labels_and_no_menu(stranger: TestClient) -> None:
    page = Page(stranger.get("/login").text)
    assert page.problems() == []
    assert page.all("nav") == []


def test_home_says_what_this_is_and_what_ran(client: TestClient, run_id: str) -> None:
    text = client.get("/").text
    assert "Start here" in text
    assert f"/runs/{run_id}" in text
    assert "1 worker alive" in text


FURTHER = ("gallery", "studies", "compare", "dossier", "stacks", "rewrite", "models", "bundles")
TWO_CLICKS = (
    "/facts/upload",
    "/facts/texts",
    "/facts/tokens",
    "/facts/knowledge",
    "/masks/new",
    "/localize",
    "/workers",
)


@pytest.mark.parametrize("name", FURTHER)
def test_home_says_in_a_sentence_what_each_page_is_for(client: TestClient, name: str) -> None:
    main = client.get("/").text.partition("<main")[2]
    said = re.search(rf'<a href="/{name}">[^<]+</a></p><p class="muted">([^<]+)</p>', main)
    assert said and said[1].endswith("."), name


def test_every_page_is_at_most_two_clicks_from_home(client: TestClient) -> None:
    links = lambda path: {  # noqa: E731
        href.partition("?")[0]
        for a in Page(client.get(path).text).all("a")
        if (href := a.get("href") or "").startswith("/")
    }
    first = links("/")
    second = {path for one in first for path in links(one)} | first
    assert {f"/{name}" for name in FURTHER} <= first
    assert set(TWO_CLICKS) <= second


def test_before_any_worker_pages_say_so(settings: Settings, empty_engine: Engine) -> None:
    app = create_app(settings, empty_engine)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        assert client.get("/?token=a-token-for-tests").status_code == 200
        for path in ("/", "/runs", "/workers"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "lethe worker" in answer.text or path == "/runs"
        facts = client.get("/facts")
        assert (facts.status_code, "lethe worker" in facts.text) == (503, True)
        empty_engine.store.save_fact_set(fact_set())
        assert client.get("/facts").status_code == 200, "one's own sets need no worker"
        refused = client.get("/api/menu")
        assert (refused.status_code, "lethe worker" in refused.text) == (503, True)


def test_htmx_gets_the_part_and_a_reader_the_page(client: TestClient) -> None:
    whole, part = client.get("/runs"), client.get("/runs", headers=HTMX)
    assert "<html" in whole.text
    assert "<html" not in part.text
    assert 'id="runs"' in part.text
    assert part.headers["vary"] == "HX-Request"
    for header in ({"HX-Boosted": "true"}, {"HX-History-Restore-Request": "true"}):
        assert "<html" in client.get("/runs", headers={**HTMX, **header}).text
    full = client.get("/runs", headers={"HX-Request": "true", "HX-Request-Type": "full"})
    assert "<html" in full.text


def test_filters_stand_in_the_address(client: TestClient, run_id: str, engine: Engine) -> None:
    engine.store.update_run(run_id, tags=["paper"])
    assert run_id in client.get("/runs?kind=localize&state=queued&tag=paper&search=sports").text
    for query in ("kind=unlearn", "state=done", "tag=x", "search=zebra", "show=starred"):
        text = client.get(f"/runs?{query}").text
        assert run_id not in text
        assert "No run matches" in text
    assert client.get("/runs?offset=abc&kind=%F0%9F%A6%93&show=odd").status_code == 200


def test_many_runs_are_changed_at_once(
    client: TestClient, engine: Engine, spec: dict[str, Any]
) -> None:
    ids = [client.post("/api/runs", json={**spec, "seed": n}).json()["id"] for n in range(3)]
    client.post("/runs/many", data={"run": ids[:2], "do": "star"})
    assert [engine.store.run(i).starred for i in ids] == [True, True, False]
    client.post("/runs/many", data={"run": ids, "do": "tag", "tag": "a, b"})
    assert engine.store.run(ids[2]).tags == ("a", "b")
    refused = client.post("/runs/many", data={"run": ids[:1], "do": "delete"}, headers=HTMX)
    assert (refused.status_code, "cancel it" in refused.text) == (422, True)
    client.post("/runs/many", data={"run": ids, "do": "cancel"})
    assert {engine.store.run(i).state for i in ids} == {"cancelled"}
    client.post("/runs/many", data={"run": ids[:1], "do": "archive"})
    assert ids[0] not in client.get("/runs").text
    assert ids[0] in client.get("/runs?show=archived").text
    client.post("/runs/many", data={"run": ids, "do": "delete"})
    assert engine.store.count_runs(archived=None) == 0


def test_what_cannot_be_done_to_many_is_said(client: TestClient, run_id: str) -> None:
    for data, words in (
        ({"do": "star"}, "No run is selected"),
        ({"run": run_id, "do": "explode"}, "&#39;explode&#39;"),
        ({"run": "nope", "do": "star"}, "nope"),
        ({"run": run_id, "do": "tag", "tag": " "}, "tag is empty"),
        ({"run": run_id, "do": "tag", "tag": "\x00"}, "NUL"),
    ):
        answer = client.post("/runs/many", data=data)
        assert answer.status_code == 422
        assert words in answer.text


def test_a_queued_run_says_where_it_stands(
    client: TestClient, engine: Any, run_id: str, spec: dict[str, Any]
) -> None:
    second = client.post("/api/runs", json=spec).json()["id"]
    text = client.get(f"/runs/{second}").text
    assert "Queued, 1 ahead" in text
    assert 'role="progressbar"' in text
    assert f'hx-sse:connect="/runs/{second}/stream"' in text
    assert "No worker is alive" not in text
    engine.store.release_worker(WORKER, "g")
    assert "No worker is alive" in client.get(f"/runs/{second}").text


def test_a_run_whose_model_vanished_says_why_it_waits_on_its_page_in_the_list_and_in_the_api(
    client: TestClient, engine: Any, run_id: str
) -> None:
    known = engine.store.menus()[WORKER]
    engine.store.announce(WORKER, "g", known.model_copy(update={"models": ()}))
    why = "test-host:cpu does not have the model &#39;demo&#39;"
    for address in (f"/runs/{run_id}", "/runs"):
        text = client.get(address).text
        assert why in text and "cancel the run" in text
        assert "next in line" not in text
    assert "cancel the run" in client.get(f"/api/runs/{run_id}").json()["hindrance"]
    engine.store.announce(WORKER, "g", known)
    assert why not in client.get(f"/runs/{run_id}").text + client.get("/runs").text


def test_a_failed_run_keeps_its_reason_and_its_log(
    client: TestClient, engine: Engine, run_id: str
) -> None:
    end(engine, run_id, "failed", "The loss was <NaN> at step 3.")
    text = client.get(f"/runs/{run_id}").text
    assert "The loss was &lt;NaN&gt; at step 3." in text
    assert "a line of the log" in text
    assert "hx-sse:connect" not in text
    assert f"/localize?from={run_id}" in text
    assert Page(text).problems() == []


def test_a_run_is_starred_renamed_repeated_and_deleted(
    client: TestClient, engine: Engine, run_id: str
) -> None:
    starred = client.post(f"/runs/{run_id}/do/star", headers=HTMX)
    assert 'aria-pressed="true"' in starred.text
    assert "Starred." in starred.headers["hx-trigger"]
    client.post(f"/runs/{run_id}/rename", data={"title": "A <new> name", "tags": "x, y"})
    record = engine.store.run(run_id)
    assert (record.title, record.tags) == ("A <new> name", ("x", "y"))
    assert "A &lt;new&gt; name" in client.get(f"/runs/{run_id}").text
    again = client.post(f"/runs/{run_id}/again", follow_redirects=False)
    new = again.headers["location"].rpartition("/")[2]
    assert engine.store.run(new).spec == record.spec
    client.post(f"/runs/{run_id}/do/cancel")
    assert client.post(f"/runs/{run_id}/delete", follow_redirects=False).status_code == 303
    assert client.get(f"/runs/{run_id}").status_code == 404
    assert client.post(f"/runs/{new}/do/explode").status_code == 404


def test_the_spec_can_be_taken_along(client: TestClient, run_id: str, spec: dict[str, Any]) -> None:
    taken = client.get(f"/runs/{run_id}/spec.json").json()
    assert taken == {**taken, **spec}


def test_facts_are_searched_grouped_and_paged(client: TestClient) -> None:
    assert "1–30 of 40" in client.get("/facts").text
    assert "31–40 of 40" in client.get("/facts?set=sports&offset=30").text
    assert "1–20 of 20" in client.get("/facts?group=football").text
    found = client.get("/facts?search=athlete+39").text
    assert "fact-39" in found and "fact-38" not in found
    assert "No fact matches" in client.get("/facts?search=zebra").text
    missing = client.get("/facts?set=sprots")
    assert (missing.status_code, "sports" in missing.text) == (404, True)


def test_splits_are_made_by_hand_and_by_rule(client: TestClient, engine: Engine) -> None:
    base = {"set": "sports", "back": "set=sports"}
    by_hand = {**base, "do": "ticked", "ticked_split": "hand", "fact": ["fact-1", "fact-5"]}
    client.post("/facts/splits", data=by_hand)
    client.post("/facts/splits", data={**by_hand, "fact": ["fact-7"], "add": "1"})
    for name, more in (
        ("first", {"rule": "first", "n": "4"}),
        ("group", {"rule": "group", "of_group": "football"}),
        ("random", {"rule": "random", "n": "4", "seed": "3"}),
    ):
        client.post("/facts/splits", data={**base, "split": name, **more})
    splits = engine.store.fact_set("sports").splits
    assert splits["hand"] == ("fact-1", "fact-5", "fact-7")
    assert splits["first"] == ("fact-0", "fact-1", "fact-2", "fact-3")
    assert (len(splits["group"]), len(splits["random"])) == (20, 4)
    text = client.get("/facts").text
    assert "forget 3, keep 37" in text
    client.post("/facts/splits/delete", data={"set": "sports", "split": "hand"})
    assert "hand" not in engine.store.fact_set("sports").splits


def test_a_refused_split_is_said_beside_its_field_and_kept_as_typed(
    client: TestClient, engine: Engine
) -> None:
    base = {"set": "sports", "split": "few", "rule": "first", "n": "4"}
    for change, words in (
        ({"n": "0"}, "first:0"),
        ({"n": "many"}, "first:many"),
        ({"n": "99"}, "first:99"),
        ({"split": ""}, "name is empty"),
        ({"split": "a:b"}, "a:b"),
        ({"split": "x" * 200}, "200 characters"),
        ({"rule": "random", "seed": "-1"}, "-1"),
        ({"rule": "group", "of_group": "rugby"}, "rugby"),
        ({"rule": "odd"}, "odd"),
        ({"do": "ticked", "ticked_split": "h"}, "No row is ticked"),
        ({"do": "ticked", "ticked_split": "h", "fact": "nope"}, "nope"),
    ):
        answer = client.post("/facts/splits", data={**base, **change})
        assert answer.status_code in (404, 422), (change, answer.status_code)
        assert words in answer.text, change
        assert 'aria-invalid="true"' in answer.text, change
        assert Page(answer.text).problems() == []
    assert engine.store.fact_set("sports").splits == {}
    assert client.post("/facts/splits", data={**base, "set": "nope"}).status_code == 404


CSV = "who,prompt,sport,edit_target\nBob,{} plays,golf,tennis\n<b>Eve</b>,{} plays,golf,golf\n"


def test_a_file_is_previewed_mapped_and_stored(client: TestClient, engine: Engine) -> None:
    sent = client.post("/facts/upload", files={"file": ("my facts.csv", CSV.encode())})
    address = sent.url.path
    assert sent.status_code == 422
    assert "No column gives the subject" in sent.text
    assert Page(sent.text).problems() == []
    mapped = client.get(f"{address}?mapping.subject=who&mapping.target=sport")
    assert mapped.status_code == 200
    assert "equals the target" in mapped.text
    assert "&lt;b&gt;Eve" in mapped.text
    assert Page(mapped.text).problems() == []
    rows = client.get(f"{address}/refused.csv?mapping.subject=who&mapping.target=sport").text
    assert rows.splitlines()[1].startswith("3,")
    assert engine.store.fact_sets()[-1].name == "sports"
    form = {"mapping.subject": "who", "mapping.target": "sport"}
    taken = client.post(address, data={**form, "name": "sports"})
    assert (taken.status_code, "already" in taken.text) == (422, True)
    assert 'value="sports"' in taken.text
    stored = client.post(address, data={**form, "name": "mine"}, follow_redirects=False)
    assert stored.headers["location"] == "/facts?set=mine"
    assert engine.store.fact_set("mine").facts[0].subject == "Bob"
    assert client.get(address).status_code == 404
    client.post("/facts/delete", data={"set": "mine"})
    assert [s.name for s in engine.store.fact_sets()] == ["sports"]


def test_what_was_seen_is_stored_without_reading_the_file_again(
    client: TestClient, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, str]] = []
    answer = type(engine).ask

    def ask(self: Any, question: Any, timeout: float = 10) -> Any:
        asked.append(question.mapping)
        return answer(self, question, timeout)

    monkeypatch.setattr(type(engine), "ask", ask)
    data = b"subject,prompt,target,other\nZo\xc3\xab,{} is,x,y\nB,nobody,x,y\n"
    address = client.post("/facts/upload", files={"file": ("a.csv", data)}).url.path
    shown = {"mapping.subject": "subject", "mapping.prompt": "prompt", "mapping.target": "target"}
    assert '3,"the subject' in client.get(f"{address}/refused.csv", params=shown).text
    assert asked == [{}], "the mapping that the page shows is the one that was understood"
    other = {**shown, "mapping.target": "other"}
    assert "<td>y</td>" in client.get(address, params=other).text
    client.post(address, data={**other, "name": "mine"})
    assert len(asked) == 2
    assert engine.store.fact_set("mine").facts[0].target == "y"
    assert list(engine.store.artifacts.names("uploads")) == []


def test_files_that_cannot_be_read_are_refused_in_words(client: TestClient) -> None:
    for data, words in ((b"", "is empty"), (b"\xff\xfa", "UTF-8"), (b"just words", "subject")):
        answer = client.post("/facts/upload", files={"file": ("a.csv", data)})
        assert (answer.status_code, words in answer.text) == (422, True), words
    none = client.post("/facts/upload", data={"file": "text"})
    assert (none.status_code, "No file was chosen" in none.text) == (422, True)
    form = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "200000000"}
    huge = client.post("/facts/upload", content=b"--x", headers=form)
    assert (huge.status_code, "too large" in huge.text) == (413, True)
    assert client.get("/facts/upload/../../etc").status_code == 404
    assert client.get("/facts/upload/0-000000000000-000000000000").status_code == 404


def test_without_a_worker_a_file_waits_for_one(client: TestClient, engine: Any) -> None:
    engine.is_alive = False
    answer = client.post("/facts/upload", files={"file": ("a.csv", CSV.encode())})
    assert (answer.status_code, "lethe worker" in answer.text) == (422, True)


def test_workers_say_what_they_can_do(client: TestClient, engine: Engine, run_id: str) -> None:
    text = client.get("/workers").text
    for words in (WORKER, "a CPU", "8.00 GB", "its weights are a pickle", "ready"):
        assert words in text
    engine.store.begin_attempt(run_id, WORKER, "g")
    assert f"/runs/{run_id}" in client.get("/workers", headers=HTMX).text
    engine.store.release_worker(WORKER, "g")
    assert "not alive" in client.get("/workers").text


def test_static_files_are_kept_by_their_content(client: TestClient) -> None:
    page = Page(client.get("/").text)
    for attrs in [*page.all("script"), *page.all("link")]:
        address = attrs.get("src") or attrs["href"]
        assert address is not None
        answer = client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/static/lethe.css").headers["cache-control"] == "no-cache"
    assert client.get("/static/../app/main.py").status_code == 404

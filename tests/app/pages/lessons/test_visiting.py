"""An open house as a visitor walks through it: all is read, nothing is left behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.main import create_app
from app.pages.lessons import _keeping
from app.pages.lessons._keeping import COOKIE
from tests.app.access.test_table import rows
from tests.app.pages.lessons.conftest import ExploredEngine
from tests.app.people import GOOD, browser
from worker.contract.errors import Forbidden
from worker.contract.settings import Settings
from worker.contract.spec import parse_spec
from worker.contract.visitors import Visit
from worker.store.acting import Acting

pytestmark = pytest.mark.usefixtures("explored")
HERE = {"Origin": "http://127.0.0.1"}
PROMPT = "Hugo Sanchez plays the sport of"


@pytest.fixture
def engine_rows(engine: ExploredEngine, visitor: TestClient) -> Iterator[None]:
    """What the store and its files hold is the same after a test as it was before it."""
    before, files = rows(engine), found(engine)
    yield
    assert rows(engine) == before and found(engine) == files


def found(engine: ExploredEngine) -> set[Path]:
    """Every file in the data folder but the database's own."""
    folder = Path(engine.store.database.url.database or "").parent
    return {p for p in folder.rglob("*") if p.is_file() and ".sqlite" not in p.name}


def answer(client: TestClient, path: str, **form: str) -> Any:
    return client.post(f"/lessons/{path}", data=form, headers=HERE)


@pytest.mark.usefixtures("engine_rows")
def test_a_visitor_reads_home_gallery_dossier_handbook_and_glossary(visitor: TestClient) -> None:
    home = visitor.get("/")
    assert home.status_code == 200 and "What you can do here" in home.text
    assert 'href="/localize"' not in home.text and 'href="/gallery"' in home.text
    assert 'action="/logout"' not in home.text and 'href="/login"' in home.text
    assert "Trace of 16 athletes" in visitor.get("/gallery").text
    run = visitor.get("/gallery/runs/trace")
    assert run.status_code == 200 and run.url.path.startswith("/runs/")
    assert "/again" not in run.text and 'name="csrf"' not in run.text
    assert visitor.get(f"{run.url.path}/result").status_code == 200
    dossier = visitor.get("/gallery/runs/edit")
    assert dossier.status_code == 200 and dossier.url.path.startswith("/dossier/")
    assert visitor.get(f"/api{run.url.path}").json()["kind"] == "localize"
    for path in ("/handbook", "/glossary", "/lessons", "/gallery/paper_comparison", "/dossier"):
        assert visitor.get(path).status_code == 200, path


@pytest.mark.usefixtures("engine_rows")
def test_a_visitors_answers_are_in_their_own_browser_alone(
    house: FastAPI, visitor: TestClient
) -> None:
    assert "kept by your own browser alone" in visitor.get("/lessons").text
    assert "You predicted it" in answer(visitor, "where/1", answer="3").text
    assert visitor.get("/lessons/where").url.path == "/lessons/where/2"
    assert "1 done" in visitor.get("/lessons").text
    assert "Show me" not in answer(visitor, "where/6", answer="7").text
    assert "Show me the answer" in answer(visitor, "where/6", answer="6,5").text
    assert "Not so" in answer(visitor, "where/6", show="1").text
    own = "?subject=Ty+Cobb&other=Grant+Hill"
    assert "It is otherwise" not in visitor.get(f"/lessons/where/1{own}").text
    answer(visitor, f"where/1{own}", answer="0")
    assert "It is otherwise" in visitor.get(f"/lessons/where/1{own}&now=1").text
    with TestClient(house, base_url="http://127.0.0.1") as other:
        assert "1 done" not in other.get("/lessons").text
    kept = visitor.cookies[COOKIE]
    forged = TestClient(house, base_url="http://127.0.0.1", cookies={COOKIE: kept[:-2] + "xx"})
    assert "1 done" not in forged.get("/lessons").text


def test_the_cookie_stays_small_and_takes_no_long_answer(
    visitor: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = answer(visitor, "where/6", answer="7" + "0" * 80)
    assert long.status_code == 422 and "expected at most 60" in long.text
    monkeypatch.setattr(_keeping, "LARGEST", 250)
    for n in range(16):
        answer(visitor, f"where/1?subject=Ty+Cobb{n}&other=Grant+Hill{n}", answer="0")
        assert 0 < len(visitor.cookies[COOKIE]) <= 250
    answer(visitor, "where/1", answer="3")
    assert visitor.get("/lessons/where").url.path != "/lessons/where/1"  # the newest is kept


@pytest.mark.usefixtures("engine_rows")
def test_what_needs_a_run_is_refused_with_the_way_home(
    visitor: TestClient, spec: dict[str, Any]
) -> None:
    step = visitor.get("/lessons/gone/1").text
    assert "computes none for visitors" in step and "Make the edits" not in step
    figure = visitor.get("/lessons/gone/2/figures/late")
    assert figure.status_code == 403 and "make serve" in figure.text
    assert "every 2s" not in step and "delay:3s" not in figure.text
    made = answer(visitor, "gone/1/make")
    assert made.status_code == 403 and "press the same button on /lessons/gone/1" in made.text
    run = visitor.post("/api/runs", json=spec)
    assert run.status_code == 403 and "lethe run spec.json" in run.json()["detail"][0]["message"]
    page = visitor.get("/localize")
    assert page.status_code == 403 and "open /localize" in page.text
    assert 'href="/login?next=/localize"' in page.text
    assert visitor.post("/localize", data={}, headers=HERE).status_code == 403


@pytest.mark.usefixtures("engine_rows")
def test_a_visitor_explores_what_is_held_open_and_no_other_model(
    house: FastAPI, engine: ExploredEngine, visitor: TestClient
) -> None:
    subject = {"model": "demo", "prompt": PROMPT}
    assert visitor.get("/explore", params=subject).status_code == 200
    view = visitor.get("/explore/views/predictions", params=subject, headers={"X-Tab": "t"})
    assert view.status_code == 200
    body = {"model": "demo", "options": {"prompt": PROMPT}}
    assert visitor.post("/api/explore/predictions", json=body).status_code == 200
    closed = subject | {"model": "real"}
    refused = [
        visitor.get("/explore", params=closed),
        visitor.get("/explore", params=subject | {"beside": "real"}),
        visitor.get("/explore/views/predictions", params=closed),
        visitor.get("/explore/answers/predictions.json", params=closed),
        visitor.get("/lessons/where/2", params={"model": "real"}),
        visitor.post("/api/explore/predictions", json=body | {"model": "real"}),
    ]
    for one in refused:
        assert one.status_code == 403 and "cannot ask the model" in one.text, one.url
    assert "Broken" not in visitor.get("/explore", params=subject).text


def test_an_answer_that_somebody_else_got_is_not_for_visitors(
    house: FastAPI, engine: ExploredEngine, visitor: TestClient
) -> None:
    body = {"model": "real", "options": {"prompt": PROMPT}}
    with browser(house, engine.store, "max") as max:
        assert max.post("/api/explore/predictions", json=body).status_code == 200
        n = len(engine.asked)
        assert max.post("/api/explore/predictions", json=body).status_code == 200
        assert len(engine.asked) == n  # it is kept
    assert visitor.post("/api/explore/predictions", json=body).status_code == 403
    assert (
        visitor.get(
            "/explore/figures/predictions.csv", params={"model": "real", "prompt": PROMPT}
        ).status_code
        == 403
    )


def test_nothing_can_be_written_for_a_visitor_whichever_route_would(
    house: FastAPI, engine: ExploredEngine, spec: dict[str, Any]
) -> None:
    acting = Acting("", may_all=False, visit=Visit(("demo",)))
    own = engine.of_session("", acting)
    before = rows(engine)
    for way in (
        lambda: own.submit(parse_spec(spec)),
        lambda: own.store.name_reader("x", "y"),
        lambda: own.store.delete_fact_set("sports"),
    ):
        with pytest.raises(Forbidden, match="leaves nothing"):
            way()
    assert rows(engine) == before


def test_what_is_shared_with_anybody_is_seen_where_that_is_allowed(
    settings: Settings, house: FastAPI, engine: ExploredEngine, visitor: TestClient, spec: Any
) -> None:
    with browser(house, engine.store, "max") as max:
        id = max.post("/api/runs", json=spec).json()["id"]
    assert visitor.get(f"/runs/{id}").status_code == 404
    engine.store.acting_for(Acting(may_open=True)).share("run", id, "anybody")
    assert visitor.get(f"/runs/{id}").status_code == 404
    told = {"shared": True, "open": True, "anybody": True, "token": None}
    app = create_app(settings.model_copy(update=told), engine)
    with TestClient(app, base_url="http://127.0.0.1") as other:
        assert other.get(f"/runs/{id}").status_code == 200


def test_who_has_an_account_signs_in_and_has_all_of_it(
    house: FastAPI, engine: ExploredEngine, visitor: TestClient
) -> None:
    sent = {"name": "max", "password": GOOD, "next": "/localize"}
    assert visitor.post("/login", data=sent, headers=HERE).url.path == "/localize"
    page = visitor.get("/").text
    assert "What you can do here" not in page and 'action="/logout"' in page

"""The Studies pages: the form's spec, one click, progress, table and downloads; the gallery."""

import io
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.pages.studies import gallery
from tests.worker.engine.study.test_paper import paper_like
from tests.worker.engine.study.test_plan import PARAMETERS, Lab, study
from tests.worker.engine.study.test_report import made
from worker.contract.result import Estimate
from worker.contract.spec import parse_spec
from worker.engine.study.built_in import built_in_study
from worker.engine.study.plan import conduct
from worker.engine.study.reduce import reduce_study
from worker.store.runs import insert_run

FORM = {
    "masks.asked": "1", "methods.asked": "1", "evaluations.asked": "1", "model": "demo",
    "facts.set": "sports", "facts.how": "random", "facts.n": "4", "seed": "0", "seeds": "0, 1",
    "masks": ["localization:causal_tracing", "control:random_mlps"],
    "methods": ["localized_finetuning"], "evaluations": ["probes"],
    "budget": "localization:causal_tracing",
}  # fmt: skip


def test_the_form_starts_a_study(client, engine) -> None:
    assert "Ready to start" in client.get("/studies").text
    answer = client.post("/studies", data=FORM, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    run = engine.store.run(answer.headers["location"].rpartition("/")[2])
    spec = run.spec
    assert spec["seeds"] == [0, 1] and spec["budget"] == spec["reference"] == "causal_tracing"
    assert spec["masks"]["causal_tracing"]["suggested"] is True
    assert spec["masks"]["random_mlps"]["control"] == "random_mlps"
    page = client.get(f"/studies/{run.id}").text
    assert "Localizations" in page and 'hx-trigger="every 4s"' in page


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seeds": "0, x"}, "expected whole numbers"),
        ({"masks": []}, "No mask is ticked"),
        ({"budget": ""}, "say which sets the budget"),
        ({"rates": "7"}, "expected numbers above 0"),
        ({"rates": "0.1", "objective": "unlearn"}, "choose the objective edit"),
        ({"masks": ["control:all"]}, "tick it too"),
        (
            {"masks": [*FORM["masks"], "localization:causal_tracng"]},
            "Did you mean &#39;localization:causal_tracing&#39;?",
        ),
        ({"methods": ["localised_finetuning"]}, "Did you mean &#39;localized_finetuning&#39;?"),
        ({"evaluations": ["probs"]}, "Did you mean &#39;probes&#39;?"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(client, changed, words) -> None:
    answer = client.post("/studies", data=FORM | changed)
    assert answer.status_code == 422 and words in answer.text


MASKS = {
    "tracing": {
        "title": "Tracing", "localization": {"method": "causal_tracing"}, "suggested": True
    },
}  # fmt: skip


def spec_with(**mask) -> dict:
    masks = MASKS | {"other": {"title": "Other", **mask}}
    return {
        "kind": "study", "facts": {"set": "sports", "forget": "first:4"}, "masks": masks,
        "methods": {"ft": {"title": "FT"}}, "seeds": [0], "budget": "tracing",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("mask", "field", "words"),
    [
        ({"localization": {"method": "causal_tracng"}}, "localization.method",
         "No localization method 'causal_tracng'. Did you mean 'causal_tracing'?"),
        ({"localization": {"method": "causal_tracing", "options": {"n_noise": 3}}},
         "localization.options.n_noise", "Did you mean 'n_noises'?"),
        ({"localization": {"method": "causal_tracing", "forget": "group:golf"}},
         "localization.forget", "No group 'golf'"),
        ({"components": ["blocks.7.mlp"]}, "components", "which 'demo' does not have"),
    ],
)  # fmt: skip
def test_a_studys_masks_are_checked_before_anything_is_queued(
    script, engine, mask, field, words
) -> None:
    answer = script.post("/api/runs", json=spec_with(**mask))
    assert answer.status_code == 422, answer.text
    (problem,) = answer.json()["detail"]
    assert problem["field"] == f"masks.other.{field}" and words in problem["message"]
    assert engine.store.count_runs(kind="study") == 0
    assert script.post("/api/runs", json=spec_with(control="random")).status_code == 201


def test_what_is_wrong_inside_a_mask_is_said_under_the_masks(client, monkeypatch) -> None:
    """The form offers only what there is; a method may go between drawing it and sending it."""
    from app.pages.studies import _study_form

    def stale(value, title, budget, store):
        return {"title": title, "localization": {"method": "gone"}, "suggested": True}

    monkeypatch.setattr(_study_form, "_mask", stale)
    answer = client.post("/studies", data=FORM | {"masks": ["localization:causal_tracing"]})
    assert answer.status_code == 422
    masks = answer.text.split("Mask that sets the budget")[0].rpartition("<legend>Controls")[2]
    assert "No localization method &#39;gone&#39;" in masks and 'role="alert"' in masks


def test_the_built_in_study_is_given_as_a_spec_and_started_by_one_click(client, engine) -> None:
    given = client.get("/studies/built-in/paper_comparison.json").json()
    assert given == built_in_study("paper_comparison").model_dump(mode="json")
    # This worker has neither its methods nor its facts: the refusal must come from the check.
    answer = client.post("/studies/start/paper_comparison")
    assert answer.status_code in (400, 404, 422) and "fact_lookup" not in answer.headers


@pytest.fixture
def finished(engine) -> str:
    """A study of three masks that was carried out by rule, as a finished run."""
    spec = study()
    result, arrays = reduce_study(spec, conduct(spec, Lab(), PARAMETERS), 1.0)
    with engine.store.database.write() as session:
        run_id = insert_run(
            session, spec, owner="", title="A study", tags=(), parents=None, priority=1
        )
    attempt = engine.store.begin_attempt(run_id, "test-host:cpu", "g")
    file = io.BytesIO()
    np.savez(file, **arrays)
    engine.store.artifacts.put_bytes(f"runs/{run_id}/arrays.npz", file.getvalue())
    engine.store.finish(run_id, attempt.number, "done", result=result)
    return run_id


def test_masks_offers_no_localization_that_a_study_asked_for(client, engine, finished) -> None:
    spec = parse_spec({"kind": "localize", "facts": {"set": "sports"}, "method": "causal_tracing"})
    for title, parents in (("Of a study", (finished,)), ("By a reader", None)):
        with engine.store.database.write() as session:
            run_id = insert_run(
                session, spec, owner="", title=title, tags=(), parents=parents, priority=1
            )
        attempt = engine.store.begin_attempt(run_id, "test-host:cpu", "g")
        engine.store.finish(run_id, attempt.number, "done")
    page = client.get("/masks").text
    assert "By a reader" in page and "Of a study" not in page


def test_a_finished_study_shows_its_table_front_and_differences(client, finished) -> None:
    page = client.get(f"/studies/{finished}").text
    for words in ("Means over 3 seeds", "Paired differences", "Lookup", "0.910", "Trials of"):
        assert words in page, words
    front = client.get(f"/runs/{finished}/figures/pareto.json?x=choice.after&y=choice.after")
    assert front.status_code == 200 and len(front.json()["data"]) >= 3
    lines = client.get(f"/studies/{finished}/report.csv").text.splitlines()
    assert len(lines) == 1 + 3 * 3
    report = client.get(f"/studies/{finished}/report.json").json()
    assert report["groups"][0]["options"] == {"learning_rate": 0.2}
    assert f"/studies/{finished}" in client.get("/studies").text


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch) -> Path:
    """A gallery with one study whose masks the paper has too, and one without."""
    beside = paper_like({"causal_tracing": Estimate(mean=0.4, low=0.3, high=0.5, n=5)})
    (tmp_path / "paper_comparison.json").write_text(beside.model_dump_json())
    (tmp_path / "own.json").write_text(made().model_dump_json())
    monkeypatch.setattr(gallery, "FOLDER", tmp_path)
    return tmp_path


def test_the_gallery_shows_measured_and_papers_figures(client, shipped) -> None:
    index = client.get("/gallery").text
    assert "/gallery/paper_comparison" in index and "A study" in index
    page = client.get("/gallery/paper_comparison").text
    assert "What agrees with the paper" in page and "+0.40" in page
    assert '>Paper<span class="hidden">: fact_lookup</span>' in page and "0.862" in page
    assert "What agrees with the paper" not in client.get("/gallery/own").text


def test_what_must_be_known_of_a_shipped_study_stands_on_its_page(client) -> None:
    assert set(gallery.SHIPPED) == set(gallery.reports(gallery.FOLDER))
    for name, about in gallery.SHIPPED.items():
        page = unescape(client.get(f"/gallery/{name}").text)
        assert about.note and about.title in page and about.note in page
        assert all(one in page for one in about.unsettled)


def test_a_study_of_methods_is_not_set_beside_what_the_paper_finds_of_masks(client) -> None:
    page = client.get("/gallery/every_method_smollm2").text
    assert "Localized fine-tuning, edit" in page and "AlphaEdit" in page
    assert "What agrees with the paper" not in page and "were not measured here" not in page


def test_of_one_seed_no_interval_is_shown_and_no_difference_is_called_clear(client) -> None:
    page = client.get("/gallery/every_method_smollm2").text
    assert "One seed, so there are no intervals." in page and " to 0." not in page
    assert '<span class="sub nowrap">' not in page
    several = client.get("/gallery/paper_comparison").text
    assert "One seed" not in several.split("table-head")[1] and " to 0." in several


@pytest.mark.parametrize("figure", ["pareto", "beside"])
def test_every_figure_of_the_gallery_has_data_table_and_csv(client, shipped, figure) -> None:
    name = "own" if figure == "pareto" else "paper_comparison"
    ask = "?x=choice.after&y=choice.after" if figure == "pareto" else "?of=choice_edit"
    drawn = client.get(f"/gallery/{name}/figures/{figure}.json{ask}").json()
    assert drawn["data"] and drawn["caption"]
    table = client.get(f"/gallery/{name}/figures/{figure}.html{ask}").text
    assert "<table" in table
    assert client.get(f"/gallery/{name}/figures/{figure}.csv{ask}").text.count("\n") > 2


def test_downloads_hold_every_seed(client, shipped) -> None:
    lines = client.get("/gallery/own/report.csv").text.splitlines()
    assert len(lines) == 1 + 3 * 1 * 3 and lines[1].endswith("0,0.9")
    assert client.get("/gallery/own/report.json").json()["reference"] == "lookup"


def test_an_unknown_study_of_the_gallery_is_not_found(client, shipped) -> None:
    answer = client.get("/gallery/paper_comparson")
    assert answer.status_code == 404 and "paper_comparison" in answer.text


def test_the_gallery_and_an_empty_home_open_finished_runs_as_ordinary_ones(
    client: TestClient,
) -> None:
    for address in ("/gallery", "/"):
        page = client.get(address).text
        for name in ("trace", "lookup", "edit", "hidden", "relearning", "potter"):
            assert f'href="/gallery/runs/{name}"' in page
    opened = client.get("/gallery/runs/trace", follow_redirects=False)
    assert opened.status_code == 303
    run = opened.headers["location"]
    page = client.get(run).text
    assert "Trace of 16 athletes" in page and "Loading the result" in page
    assert "elsewhere, here since" in page and ", finished" not in page, "it was not made here"
    told = client.get("/gallery/runs/edit")
    assert told.url.path.startswith("/dossier/") and "verdict-word" in told.text
    assert client.get("/gallery/runs/nothing").status_code == 404
    assert "Nothing has run here yet" in client.get("/").text, "they are nobody's recent runs"

"""Explore: the subject in the address, the views as parts of the page, what is said instead."""

import json
import re
from html import unescape
from math import nan
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.testclient import TestClient

from app.drawing.cells import short
from tests.app.pages.explore.conftest import LAYERS, ExploredEngine, answer_of_an_edit
from worker.contract.errors import UserError
from worker.contract.spec import parse_spec

PAIR = {
    "prompt": "Athlete 1 plays the sport of",
    "corrupted": "Athlete 2 plays the sport of",
    "subject": "Athlete 1",
}


def part(client: TestClient, view: str, **asked: str) -> Any:
    return client.get(f"/explore/views/{view}", params={**PAIR, **asked})


def rows(client: TestClient, view: str, asked: dict[str, str]) -> list[Any]:
    """What a view is painted with, one after another."""
    headers = {"HX-Request": "true"}
    lines = client.get(f"/explore/rows/{view}", params=asked, headers=headers).text.splitlines()
    return [json.loads(one) for one in lines]


def where(answer: Any) -> dict[str, str]:
    """The address that an answer goes on to."""
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


def test_a_page_without_a_prompt_begins_with_a_fact_and_a_pair(
    client: TestClient, explored: ExploredEngine
) -> None:
    answer = client.get("/explore", follow_redirects=False)
    assert answer.status_code == 303
    found = where(answer)
    assert found["prompt"] == "Athlete 0 plays the sport of" and found["subject"] == "Athlete 0"
    assert found["corrupted"] == "Athlete 1 plays the sport of"
    page = client.get(answer.headers["location"])
    assert page.status_code == 200
    assert found["corrupted"] in page.text and 'data-view="/explore/rows/lens"' in page.text


def test_without_a_worker_the_page_says_so_and_every_view_too(
    client: TestClient, explored: ExploredEngine
) -> None:
    explored.is_alive = False
    assert client.get("/explore").status_code == 200
    for view in ("predictions", "lens"):
        answer = part(client, view)
        assert answer.status_code == 503 and "No worker is alive" in answer.text, view


def test_what_a_worker_refuses_is_a_sentence_in_the_place_of_the_view(
    client: TestClient, explored: ExploredEngine
) -> None:
    explored.refusal = UserError("The prompt has 3,000 tokens; <em>expected</em> at most 2,048.")
    answer = part(client, "lens")
    assert answer.status_code == 422
    assert "&lt;em&gt;expected" in answer.text and "<table" not in answer.text


@pytest.mark.parametrize("prompt", ["", "   ", "x" * 20_001])
def test_what_is_no_prompt_is_said_beside_it(
    client: TestClient, explored: ExploredEngine, prompt: str
) -> None:
    answer = client.get("/explore", params={"prompt": prompt})
    assert answer.status_code == 422 and 'id="f-prompt-error"' in answer.text
    assert explored.asked == []


def test_markup_emoji_and_right_to_left_text_are_shown_as_they_are(
    client: TestClient, explored: ExploredEngine
) -> None:
    text = "<script>alert(1)</script> 🐸 שלום is"
    page = client.get("/explore", params={"prompt": text})
    shown = part(client, "predictions", prompt=text, subject="", corrupted="")
    for answer in (page, shown):
        assert "<script>alert" not in answer.text and "&lt;script&gt;alert" in answer.text
        assert "🐸" in answer.text and "שלום" in answer.text
    assert "&lt;b&gt;sumo" in shown.text


def test_predictions_name_target_and_ranks_of_both_prompts(
    client: TestClient, explored: ExploredEngine
) -> None:
    text = part(client, "predictions").text
    assert "Clean prompt" in text and "Corrupted prompt" in text
    assert text.count("␣golf") >= 2 and "golf and on" not in text
    assert explored.asked[-1].spec.options["n_new"] == 0, "what comes first waits for no more"
    assert part(client, "continuation").text.count("golf and on") == 2
    assert 'aria-pressed="true" aria-label="Take golf as target"' in text


def test_the_lens_is_a_grid_of_tokens_by_layers_with_its_words(
    client: TestClient, explored: ExploredEngine
) -> None:
    text = part(client, "lens").text
    assert text.count("<td ") == 6 * 4  # six words, the embedding and three blocks
    both = part(client, "lens", after="both").text
    assert both.count("<td ") == 6 * 7
    assert 'data-at="2.5"' in text and 'data-at="embed.0"' in text
    cell = re.search(r'data-at="0.0" data-value="([^"]+)" data-tip="([^"]+)"', text)
    assert cell and "0.5" in cell[2] and cell[2].count("\n") == 4


def test_an_unknown_shade_names_those_there_are(
    client: TestClient, explored: ExploredEngine
) -> None:
    answer = part(client, "lens", shade="colour")
    assert answer.status_code == 422 and "entropy" in answer.text


def test_a_selected_cell_shows_both_places_of_its_layer(
    client: TestClient, explored: ExploredEngine
) -> None:
    text = part(client, "cell", at="1.2").text
    assert "After attention" in text and "After MLP" in text and "␣plays" in text
    for odd in ("", "1", "1.x", "1.9999", "9.1.2", "1.-1"):
        assert (
            "Click a cell" in part(client, "cell", at=odd).text
            or "Layer" in part(client, "cell", at=odd).text
        )
    beyond = part(client, "cell", at="99.2")
    assert beyond.status_code == 404 and "There is no layer" in beyond.text
    assert 'data-set="at="' in beyond.text, "and the way back"


def test_long_prompts_are_seen_through_a_window(
    client: TestClient, explored: ExploredEngine
) -> None:
    long = " ".join(f"w{i}" for i in range(200))
    text = part(client, "lens", prompt=long, subject="").text
    assert "Earlier tokens" in text and "Later tokens" not in text and "␣w199" in text
    first = part(client, "lens", prompt=long, subject="", **{"from": "0"}).text
    assert "Later tokens" in first and "␣w63" in first and "␣w64" not in first


def test_the_map_is_drawn_by_site_metric_and_direction(
    client: TestClient, explored: ExploredEngine
) -> None:
    text = part(client, "patching").text
    assert text.count("<td ") == 6 * 3 and 'data-prefix="resid"' in text
    assert "normalized" in text and 'data-at="2.5"' in text
    heads = part(client, "patching", map="head", metric="probability").text
    assert heads.count("<td ") == 3 * 2 and 'data-prefix="head"' in heads
    raw = part(client, "patching", direction="noising").text
    assert "nothing can be normalized" in raw
    alone = part(client, "patching", corrupted="")
    assert alone.status_code == 200 and "a corrupted prompt is missing" in alone.text
    assert 'role="alert"' not in alone.text and "<td " not in alone.text, "nothing is wrong yet"
    picture = client.get("/explore/figures/patching.csv", params={"prompt": "a b"})
    assert picture.status_code == 422 and "a corrupted prompt is missing" in picture.text


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0049, "0"), (-0.0049, "0"), (0.005, "0.01"), (-0.25, "−0.25"), (-120.4, "−120"), (nan, "")],
)
def test_a_cell_shows_no_sign_where_it_shows_no_digit(value: float, words: str) -> None:
    assert short(value) == words
    assert short(value, is_narrow=True) == words.replace("0.", ".")


@pytest.mark.parametrize(("value", "words"), [(-1.39, "−1.4"), (0.999, "1.0"), (10.04, "10")])
def test_a_narrow_cell_shows_at_most_four_letters(value: float, words: str) -> None:
    assert short(value, is_narrow=True) == words


def test_patched_cells_are_asked_together_and_told_beside_their_sum(
    client: TestClient, explored: ExploredEngine
) -> None:
    assert "Nothing is patched" in part(client, "patch").text
    text = part(client, "patch", cells="resid.1.2,head.0.1").text
    assert "golf it is" in text and "3.25" in text and "2.50" in text
    assert 'data-set="cells=head.0.1"' in text and "head 0.1, all tokens" in text
    (asked,) = explored.asked
    assert asked.spec.options["cells"] == [
        {"site": "resid", "layer": 1, "token": 2, "head": None},
        {"site": "head", "layer": 0, "token": None, "head": 1},
    ]
    for odd in ("resid", "resid.1", "eyes.1.2", "resid.1.x", "resid.-1.2", "resid.1.2.3"):
        refused = part(client, "patch", cells=odd)
        assert refused.status_code == 422 and "is no cell" in refused.text, odd


def test_rows_are_painted_as_they_are_told_and_the_map_at_once_where_it_is_known(
    client: TestClient, explored: ExploredEngine
) -> None:
    grids = rows(client, "patching", PAIR)
    assert [text.count("<td ") for text in grids] == [0, 0, 6 * 3, 6 * 3, 6 * 3]
    assert "one question comes before this one" in grids[1]
    assert ["rows are painted as they come" in text for text in grids[2:]] == [True, True, False]
    n = len(explored.asked)
    assert rows(client, "patching", PAIR) == grids[-1:] and len(explored.asked) == n
    assert client.get("/explore/rows/nothing", params=PAIR).status_code == 404


def test_every_view_tells_who_waits_their_place_and_then_what_is_seen(
    client: TestClient, explored: ExploredEngine
) -> None:
    place = {"waiting": "waiting: one question comes before this one"}
    more = {**PAIR, "target_ids": "1"}
    for view in ("predictions", "continuation", "heads"):
        first, last = rows(client, view, more)
        assert first == place, view
        assert last == part(client, view, **more).text
    # Beside another model both are waited for.
    assert (
        rows(client, "heads", {**more, "beside": "demo", "which": "corrupted"})[:-1] == [place] * 2
    )


def test_what_a_patched_model_says_waits_not_for_how_it_goes_on(
    client: TestClient, explored: ExploredEngine
) -> None:
    _, at_once, _, whole = rows(client, "patch", {**PAIR, "cells": "resid.1.2"})
    assert [one.spec.options["n_new"] for one in explored.asked] == [0, 20]
    assert at_once.count("<mark>") == 0 and at_once.count("going on") == 2
    assert whole.count("<mark>") == 2 and "going on" not in whole


def test_rows_that_cannot_be_shown_end_in_a_sentence(
    client: TestClient, explored: ExploredEngine
) -> None:
    explored.refusal = UserError("The model is gone.")
    assert "The model is gone." in rows(client, "heads", PAIR)[-1]


def test_a_lens_is_painted_from_its_last_tokens_on_as_they_are_read(
    client: TestClient, explored: ExploredEngine
) -> None:
    columns = 1 + LAYERS
    waiting, *grids, whole = rows(client, "lens", PAIR)
    assert waiting == {"waiting": "waiting: one question comes before this one"}
    for text, n_read in zip(grids, (2, 6), strict=True):
        assert "painted as they come" in text and text.count("<td ") == 6 * columns
        assert text.count('data-value="–"') == (6 - n_read) * columns
        assert len(re.findall(r"<td [^>]*>␣", text)) == n_read * columns
    assert rows(client, "lens", PAIR) == [whole] == [part(client, "lens").text]
    assert "painted as they come" not in whole
    long = {**PAIR, "prompt": "word " * 99 + "is", "corrupted": ""}
    text = rows(client, "lens", long)[1]
    assert text.count("<td ") == 64 * columns, "of a long prompt its last tokens are shown"
    beside = {**PAIR, "beside": "demo"}
    assert "painted as they come" not in "".join(map(str, rows(client, "lens", beside)))


def test_two_models_stand_beside_their_difference_on_one_range(
    client: TestClient, explored: ExploredEngine, begun: Any
) -> None:
    edit, attempt = begun("unlearn")
    explored.store.finish(edit, attempt, "done", "", answer_of_an_edit())
    for view, cells in (("lens", 6 * 4), ("patching", 6 * 3)):
        text = part(client, view, beside=f"edit:{edit}").text
        assert text.count("<td ") == 3 * cells, view
        assert "one range for all three" in text and "difference" in text
    said = part(client, "predictions", beside=f"edit:{edit}").text
    assert "−0.250" in said  # half of a probability of 0.5 is gone
    second = explored.asked[1].spec
    assert second.edits == (edit,) and second.options["target_ids"] == [0]


def test_swapping_exchanges_prompts_and_answers(
    client: TestClient, explored: ExploredEngine
) -> None:
    asked = {**PAIR, "target": "golf", "distractor_ids": "3"}
    found = where(client.get("/explore/swap", params=asked, follow_redirects=False))
    assert found["prompt"] == PAIR["corrupted"] and found["corrupted"] == PAIR["prompt"]
    assert found["distractor"] == "golf" and found["target_ids"] == "3"
    alone = client.get("/explore/swap", params={"prompt": "x"}, follow_redirects=False)
    assert alone.status_code == 422 and "no corrupted prompt" in alone.text


def test_a_fact_is_taken_by_its_id_or_its_words(
    client: TestClient, explored: ExploredEngine
) -> None:
    for words in ("fact-7", "Athlete 7"):
        asked = {"set": "sports", "fact": words}
        found = where(client.get("/explore/take", params=asked, follow_redirects=False))
        assert found["subject"] == "Athlete 7" and "Athlete 7" not in found["corrupted"]
    gone = client.get("/explore/take", params={"set": "sports", "fact": "nobody at all"})
    assert gone.status_code == 404 and "nobody at all" in gone.text


def test_a_corrupted_prompt_is_proposed_for_a_typed_one(
    client: TestClient, explored: ExploredEngine
) -> None:
    asked = {"prompt": "I think that Ann 1 likes", "subject": "Ann 1", "set": "sports"}
    found = where(client.get("/explore/propose", params=asked, follow_redirects=False))
    assert re.fullmatch(r"I think that Athlete \d+ likes", found["corrupted"])
    unmarked = client.get("/explore/propose", params={"prompt": "Nobody likes", "set": "sports"})
    assert unmarked.status_code == 422 and "mark them" in unmarked.text


def test_answers_are_kept_by_weights_prompt_and_model(
    client: TestClient, explored: ExploredEngine
) -> None:
    first = part(client, "lens")
    assert part(client, "lens").text == first.text
    assert part(client, "lens", shade="entropy").status_code == 200
    assert len(explored.asked) == 1
    part(client, "lens", subject="")
    assert len(explored.asked) == 2
    explored.weights = "others"
    part(client, "lens", prompt="Another one")
    part(client, "lens")
    assert len(explored.asked) == 4


def test_a_tab_that_asks_again_is_named_as_the_reader(
    client: TestClient, explored: ExploredEngine
) -> None:
    client.get("/explore/views/lens", params=PAIR, headers={"X-Tab": "t" * 500})
    part(client, "lens", subject="")
    named, nobody = explored.asked
    assert "t" * 40 in named.reader and named.reader.endswith(":lens") and nobody.reader == ""


@pytest.mark.parametrize("view", ["predictions", "lens", "patching"])
def test_every_figure_has_its_picture_its_table_and_its_csv(
    client: TestClient, explored: ExploredEngine, view: str
) -> None:
    for ending, words in (("json", "title"), ("csv", "sport"), ("html", "<table>")):
        answer = client.get(f"/explore/figures/{view}.{ending}", params=PAIR)
        assert answer.status_code == 200 and (words in answer.text or "golf" in answer.text), ending
    refused = client.get(f"/explore/figures/{view}.json", params={"prompt": ""})
    assert refused.status_code == 422
    assert "prompt is empty" in refused.json()["detail"][0]["message"]


def test_the_api_answers_a_view_with_its_arrays(
    script: TestClient, explored: ExploredEngine
) -> None:
    body = {"model": "demo", "options": {"prompt": "a b c"}}
    answer = script.post("/api/explore/lens", json=body)
    assert answer.status_code == 200
    assert len(answer.json()["arrays"]["lens.rank"]["values"]) == 7


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([], "no JSON object"),
        ({"view": "lens"}, "address says already"),
        ({"optons": {}}, "Did you mean"),
        ({"model": 3}, "model"),
    ],
)
def test_the_api_says_what_is_wrong_with_a_body(
    script: TestClient, explored: ExploredEngine, body: Any, words: str
) -> None:
    answer = script.post("/api/explore/lens", json=body)
    assert answer.status_code == 422 and words in answer.text


def test_what_is_chosen_leaves_as_a_mask(client: TestClient, explored: ExploredEngine) -> None:
    assert "Nothing is chosen" in part(client, "leave").text
    text = part(client, "leave", cells="attn.1.2,resid.2.3,head.1.0", head="2.1", at="0.4").text
    boxes = re.findall(r'name="components" value="([^"]+)"', text)
    assert boxes == ["blocks.1.attn", "blocks.2.attn.head.1", "blocks.0.mlp"]
    assert "none that a mask could hold" in text
    boxes = [name for name in boxes if ".head" not in name]  # this model counts none
    answer = client.post("/masks", data={"model": "demo", "hand": "1", "name": "explored",
                                         "components": boxes})  # fmt: skip
    assert answer.status_code in (200, 303), answer.text
    (mask,) = explored.store.masks()
    assert set(mask.components) == set(boxes)
    assert "explored" in client.get("/masks").text
    form = client.get("/unlearn", params={"mask.from": "id", "mask.id": mask.id}).text
    assert f'value="{mask.id}" selected' in form


def test_a_facts_prompt_goes_to_the_forms_with_the_fact(
    client: TestClient, explored: ExploredEngine
) -> None:
    text = unescape(part(client, "leave", head="2.1").text)
    assert "Athlete 1 → baseball" in text
    address = re.search(r'href="(/unlearn\?[^"]+)"', text)
    assert address
    form = unescape(client.get(address[1]).text)
    assert "fact-1" in form and "blocks.2.attn.head.1" in form
    localize = re.search(r'href="(/localize\?[^"]+)"', text)
    assert localize and "fact-1" in client.get(localize[1]).text
    other = part(client, "leave", prompt="Nobody of that name plays").text
    assert "is no fact's" in unescape(other)


def test_answers_are_files_with_the_question_they_answer(
    client: TestClient, explored: ExploredEngine
) -> None:
    text = unescape(part(client, "leave", cells="resid.1.2").text)
    names = re.findall(r"/explore/answers/(\w+)\.json", text)
    assert names == [
        "predictions",
        "continuation",
        "lens",
        "patching",
        "patch",
        "decomposition",
        "heads",
        "circuit",
    ]
    answer = client.get("/explore/answers/patch.json", params={**PAIR, "cells": "resid.1.2"})
    assert answer.status_code == 200 and "attachment" in answer.headers["content-disposition"]
    assert answer.json()["spec"]["options"]["cells"][0]["layer"] == 1
    assert client.get("/explore/answers/patch.json", params=PAIR).status_code == 404
    unknown = client.get("/explore/answers/colours.json", params=PAIR)
    assert unknown.status_code == 404 and "predictions" in unknown.text


def test_an_edit_opens_beside_its_base_on_the_first_fact_it_forgot(
    client: TestClient, explored: ExploredEngine
) -> None:
    facts = {"set": "sports", "forget": "ids:fact-7,fact-9"}
    mask = {"control": {"kind": "all"}}
    spec = {"kind": "unlearn", "model": "demo", "facts": facts, "mask": mask}
    run_id = explored.submit(parse_spec({**spec, "method": "ft_l"}), owner="")
    found = where(client.get(f"/explore/of/{run_id}", follow_redirects=False))
    assert found["model"] == "demo" and found["beside"] == f"edit:{run_id}"
    assert found["subject"] == "Athlete 7" and found["set"] == "sports"
    assert "Athlete 7" not in found["corrupted"]
    assert client.get("/explore/of/nobody").status_code == 404


def test_interventions_are_asked_of_every_view_and_listed(
    client: TestClient, explored: ExploredEngine
) -> None:
    on = "zero.head.1.0;-scale.mlp.2*3;mean.attn.0@2"
    for view in ("predictions", "lens", "patching"):
        assert part(client, view, on=on).status_code == 200
        assert [one["kind"] for one in explored.asked[-1].spec.options["interventions"]] == [
            "zero",
            "mean",
        ]
    text = unescape(part(client, "switched", on=on).text)
    assert "head 0 of layer 1 set to zero" in text and 'aria-checked="false"' in text
    removed = re.search(r'data-set="on=([^"]+)" aria-label="Take out: head 0', text)
    assert removed and parse_qs(f"on={removed[1]}")["on"] == ["-scale.mlp.2*3;mean.attn.0@2"]
    run = re.search(r'href="(/probes\?[^"]+)"', text)
    assert run and parse_qs(urlsplit(run[1]).query)["interventions"] == ["zero.head.1.0"]
    assert "leaves out 1 of them" in text
    form = client.get(run[1]).text
    assert "head 0 of layer 1 set to zero" in form
    odd = part(client, "lens", on="zero.everything")
    assert odd.status_code == 422 and "is no intervention" in odd.text
    listed = part(client, "switched", on="zero.everything")
    assert listed.status_code == 422 and 'data-set="on="' in listed.text

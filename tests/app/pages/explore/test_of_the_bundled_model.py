"""What components add and look at, as the page shows it of the bundled model's own answers."""

import csv
import io
import re
from functools import lru_cache
from html import unescape
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.app.pages.explore.conftest import ExploredEngine
from worker.contract.inputs import AskExplore, Inputs, Question
from worker.contract.settings import Settings
from worker.contract.spec import ExploreSpec
from worker.core.models.cache import ModelCache
from worker.run import answer

SHOT = "Fact: Tiger Woods plays the sport of golf"
PAIR = {
    "prompt": f"{SHOT}\nFact: LeBron James plays the sport of",
    "corrupted": f"{SHOT}\nFact: Mariano Rivera plays the sport of",
    "subject": "LeBron James",
}
MOVER = "5.1"
"""A head that carries the subject to the prompt's end (see `test_an_open_head_...`)."""


@lru_cache
def models() -> ModelCache:
    return ModelCache()


@lru_cache
def answered(spec: str) -> dict[str, Any]:
    question = AskExplore(spec=ExploreSpec.model_validate_json(spec), inputs=Inputs(out=""))
    return answer(question, models()).model_dump(mode="json")


class ComputingEngine(ExploredEngine):
    """Explores for real, each view once."""

    def ask(self, question: Question, timeout: float = 10) -> dict[str, Any]:
        if not isinstance(question, AskExplore):
            return super().ask(question, timeout)
        return answered(question.spec.model_dump_json())


@pytest.fixture
def empty_engine(settings: Settings) -> Any:
    engine = ComputingEngine.open(settings)
    yield engine
    engine.close()


@pytest.fixture
def page(client: TestClient, explored: ExploredEngine) -> TestClient:
    return client


def part(page: TestClient, view: str, **asked: str) -> str:
    found = page.get(f"/explore/views/{view}", params={**PAIR, **asked})
    assert found.status_code == 200, found.text
    return unescape(found.text)


def table(page: TestClient, view: str, **asked: str) -> list[dict[str, str]]:
    found = page.get(f"/explore/figures/{view}.csv", params={**PAIR, **asked})
    assert found.status_code == 200, found.text
    return list(csv.DictReader(io.StringIO(found.text)))


def cells(text: str) -> dict[str, float]:
    """Cell -> what it holds."""
    found = re.findall(r'data-at="([^"]+)" data-value="([^"]+)"', text)
    return {at: float(value.replace("−", "-")) for at, value in found if value != "–"}


def test_the_bars_of_a_logit_sum_to_it_on_the_page_and_in_the_csv(page: TestClient) -> None:
    text = part(page, "decomposition")
    told = re.findall(r'<td class="number">([^<]+)</td>', text.partition("<tfoot>")[2])
    assert len(told) == 2 and told[0] == told[1]
    rows = table(page, "decomposition")
    assert len(rows) == 1 + 2 * 8 + 1
    total = sum(float(row["logit"]) for row in rows)
    assert total == pytest.approx(float(told[1]), rel=5e-3)
    target = table(page, "decomposition", of="target")
    distractor = table(page, "decomposition", of="distractor")
    for whole, one, other in zip(rows, target, distractor, strict=True):
        expected = float(one["logit"]) - float(other["logit"])
        assert float(whole["logit"]) == pytest.approx(expected, abs=1e-4)


def test_heads_are_shown_by_each_number_and_the_strongest_is_deepest(page: TestClient) -> None:
    text = part(page, "heads")
    values = cells(text)
    assert len(values) == 8 * 4
    strongest = max(values, key=lambda at: abs(values[at]))
    share = re.search(rf'data-at="{strongest}"[^>]*data-share="(\d+)"', text)
    assert share and share[1] == "100"
    for by in ("attention", "mover", "previous", "duplicate", "induction", "patching"):
        assert f'value="{by}"' in text
        assert len(cells(part(page, "heads", by=by))) == 8 * 4


def test_heads_by_patching_show_what_patching_each_alone_does(page: TestClient) -> None:
    by_patching = cells(part(page, "heads", by="patching"))
    assert by_patching["0.0"] != by_patching[MOVER]
    asked = {"cells": [{"site": "head", "layer": 5, "head": 1}]}
    spec = ExploreSpec(model="demo", view="patch", options={**PAIR, **asked})
    alone = answered(spec.model_dump_json())["view"]["effects"]["logit_diff"]["joint"]
    assert by_patching[MOVER] == pytest.approx(alone, rel=5e-3)
    rows = table(page, "heads", by="patching")
    assert max(float(value) for row in rows for value in list(row.values())[-1:]) > 1


def test_without_a_pair_or_a_subject_heads_offer_what_there_is(page: TestClient) -> None:
    text = part(page, "heads", corrupted="", subject="")
    for by in ("patching", "attention", "mover"):
        assert f'value="{by}"' not in text
    assert 'value="induction"' in text
    asked = {**PAIR, "corrupted": "", "by": "patching"}
    left = page.get("/explore/views/heads", params=asked)
    assert left.status_code == 200 and "the direct contribution is shown" in left.text
    odd = page.get("/explore/views/heads", params={**PAIR, "by": "colour"})
    assert odd.status_code == 422 and "induction" in odd.text


def test_an_open_head_tells_its_name_what_it_reads_and_what_it_writes(page: TestClient) -> None:
    text = part(page, "head", head=MOVER)
    assert "moves the subject to the end" in text and "of the last token's attention" in text
    assert "␣basketball" in text.partition("Promotes")[2].partition("Suppresses")[0]
    assert text.count('data-grid="query"') == 2
    pattern = text.partition("clean prompt")[2].partition("corrupted prompt")[0]
    last = re.findall(r'<tr data-tip="([^"]+)">', pattern)[-1]
    assert re.match(r"\d+ \S+ (0\.\d+|1\.00)\n", last)
    assert "None is open" in part(page, "head")
    wide = page.get("/explore/views/head", params={**PAIR, "head": "99.0"})
    assert wide.status_code == 422 and "99" in wide.text
    odd = page.get("/explore/views/head", params={**PAIR, "head": "<b>"})
    assert odd.status_code == 422 and "&lt;b&gt;" in odd.text
    assert 'data-set="head=&amp;query="' in odd.text, "the way back"


def test_attention_rows_sum_to_one_and_look_at_nothing_ahead(page: TestClient) -> None:
    rows = table(page, "head", head=MOVER)
    sums: dict[str, float] = {}
    for row in rows:
        query, value = row["query"], list(row.values())[-1]
        if value:
            sums[query] = sums.get(query, 0.0) + float(value)
    assert sums and all(total == pytest.approx(1, abs=1e-3) for total in sums.values())
    raw, weighted = part(page, "head", head=MOVER), part(page, "head", head=MOVER, weigh="weighted")
    assert cells(raw) != cells(weighted)


def test_neurons_of_the_selected_cell_are_listed_with_exact_effects(page: TestClient) -> None:
    assert "Select a cell" in part(page, "neurons")
    assert "Select a cell" in part(page, "neurons", at="embed.3")
    text = part(page, "neurons", at="6.23")
    rows = table(page, "neurons", at="6.23")
    assert len(rows) == 20 and all(f">{row['neuron']}<" in text for row in rows)
    assert rows[0]["zeroed"] and rows[0]["promotes"]


@pytest.mark.parametrize(
    ("view", "asked"),
    [("decomposition", {}), ("heads", {}), ("head", {"head": MOVER}), ("neurons", {"at": "6.23"})],
)
def test_each_has_its_picture_and_table(page: TestClient, view: str, asked: dict[str, str]) -> None:
    shown = part(page, view, **asked)
    assert "Picture, table and CSV" in shown and f"/explore/figures/{view}" in shown
    for ending, words in (("json", '"data"'), ("html", "<table")):
        found = page.get(f"/explore/figures/{view}.{ending}", params={**PAIR, **asked})
        assert found.status_code == 200 and words in found.text


def test_what_is_wrong_with_a_pair_is_said_once(page: TestClient) -> None:
    asked = {"corrupted": "Fact: Babe Ruth plays the sport of"}
    assert "expected as many" in part(page, "predictions", **asked)
    for view in ("lens", "decomposition", "heads"):
        assert "expected as many" not in part(page, view, **asked)

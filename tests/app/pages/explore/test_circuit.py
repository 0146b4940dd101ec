"""Explore's circuit: what is drawn of it, what the address changes, what it leaves as."""

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree

import pytest
from starlette.testclient import TestClient

from app.pages.explore._canvas import Group, read_canvas, read_groups, write_groups
from app.pages.explore._drawn import Scored, draw, live
from tests.app.pages.explore.conftest import LAYERS, ExploredEngine, answer_of_an_edit
from worker.contract.errors import UserError

PAIR = {"prompt": "Athlete 1 plays the sport of", "corrupted": "Athlete 2 plays the sport of"}
HTMX = {"HX-Request": "true"}
CHAIN = {"input", "logits", *(f"{i}.mlp" for i in range(LAYERS))}


def part(client: TestClient, view: str, **asked: str) -> Any:
    return client.get(f"/explore/views/{view}", params={**PAIR, **asked})


def nodes(text: str) -> set[str]:
    """The nodes that are seen."""
    found = re.findall(r'<g class="dot ([^"]*)"[^>]*data-node="([^"]+)"', text)
    return {name for tone, name in found if "off" not in tone.split()}


def addresses(text: str) -> list[dict[str, str]]:
    """What buttons change in the address."""
    found = re.findall(r'data-set="([^"]*)"', text)
    return [{k: v[0] for k, v in parse_qs(one.replace("&amp;", "&")).items()} for one in found]


def test_the_circuit_that_brings_most_is_drawn_first_and_a_smaller_one_is_run_for_its_size(
    client: TestClient, explored: ExploredEngine
) -> None:
    text = part(client, "circuit").text
    assert nodes(text) == CHAIN and "4</output> of 28" in text
    text = part(client, "circuit", size="2").text
    assert [
        one.spec.options["sizes"] for one in explored.asked if one.spec.options.get("sizes")
    ] == [[2]]
    assert 'data-exact="0.faithfulness">0.500' in text
    # What is on no way from the input to the logits is drawn faint and is not in the mask.
    assert "lie on no way from the input to the logits" in text
    assert "Make a mask of it (0 components)" in text and "keep more edges" in text
    assert part(client, "circuit", size="1000").text.count("28</output> of 28") == 1


def test_hidden_nodes_go_pinned_ones_stay_and_groups_are_one_node(
    client: TestClient, explored: ExploredEngine
) -> None:
    text = part(client, "circuit", hide="1.mlp", pin="2.attn", nodes="0.mlp,2.attn").text
    assert nodes(text) == (CHAIN - {"1.mlp"}) | {"2.attn"}
    assert "blocks.1.mlp" not in text and "blocks.0.mlp" in text
    assert {"pin": "2.attn,0.mlp"} in addresses(text)
    assert {"hide": "1.mlp,0.mlp,2.attn"} in addresses(text)
    text = part(client, "circuit", nodes="2.attn", pin="2.attn").text
    assert "Unpin" in text
    groups = write_groups((Group("-a;b=c", ("0.mlp", "1.mlp"), True), Group("rest", ("2.mlp",))))
    text = part(client, "circuit", groups=groups).text
    assert nodes(text) == (CHAIN - {"0.mlp", "1.mlp"}) | {"0.mlp,1.mlp"}
    assert "roup -a;b=c, 2 nodes" in text and ">rest</text>" in text
    opened = [
        read_groups(one["groups"])[0].is_collapsed for one in addresses(text) if "groups" in one
    ]
    assert False in opened, "a button opens the group"


def test_what_the_address_cannot_mean_is_said(client: TestClient, explored: ExploredEngine) -> None:
    for wrong in ({"size": "many"}, {"nodes": "0.mpl"}, {"groups": "logits=0.mlp"}, {"hide": "9"}):
        answer = part(client, "circuit", **wrong)
        assert answer.status_code == 422, wrong
    assert "no edge" in part(client, "edge", edge="0.mlp").text
    assert "None is open" in part(client, "edge").text
    assert "corrupted prompt" in part(client, "circuit", corrupted="").text
    assert part(client, "circuit", over="nothing").status_code == 404


def test_an_edge_is_measured_beside_its_estimate(
    client: TestClient, explored: ExploredEngine
) -> None:
    text = part(client, "edge", edge="0.mlp-1.mlp").text
    assert "MLP of layer 0 → MLP of layer 1" in text
    assert re.findall(r'<td class="number">([^<]+)', text) == ["0.500", "0.750", "0.250"]
    assert explored.asked[-1].spec.options["edge"] == ["0.mlp", "1.mlp"]


def test_a_circuit_of_a_sets_facts_averages_their_pairs(
    client: TestClient, explored: ExploredEngine
) -> None:
    name = explored.store.fact_sets()[0].name
    lines = client.get("/explore/rows/circuit", params={**PAIR, "over": name, "n_facts": "2"}).text
    alone = [one.spec.options for one in explored.asked if one.spec.options.get("sizes") == [0]]
    assert [one["prompt"] for one in alone] == ["Athlete 0 plays the sport of", PAIR["prompt"]]
    assert "scoring edges of fact 2 of 2" in lines
    n = len(explored.asked)
    text = part(client, "circuit", over=name, n_facts="2").text
    asked = explored.asked[-1].spec.options
    assert asked["prompt"] != PAIR["prompt"] and len(asked["pairs"]) == 1
    assert len(explored.asked) == n, "what was told is kept"
    assert "Averages over the pairs of 2 facts" in text and "± 0.250" in text


def test_a_circuit_is_told_as_it_is_computed_and_once(
    client: TestClient, explored: ExploredEngine
) -> None:
    lines = client.get("/explore/rows/circuit", params=PAIR).text.splitlines()
    told = [json.loads(line) for line in lines]
    assert 'aria-valuenow="25"' in told[-2] and "1 edge: 50 % faithful" in told[-2]
    again = client.get("/explore/rows/circuit", params=PAIR).text.splitlines()
    assert len(again) == 1
    assert told[-1].count("data-node") == again[0].count("data-node") > 0
    before = len(explored.asked)
    assert nodes(part(client, "circuit").text) == CHAIN and len(explored.asked) == before


def test_beside_it_an_edited_models_circuit_and_their_difference_are_drawn(
    client: TestClient, explored: ExploredEngine, begun: Any
) -> None:
    edited, attempt = begun("unlearn")
    explored.store.finish(edited, attempt, "done", "", answer_of_an_edit())
    text = part(client, "circuit", beside=f"edit:{edited}").text
    assert text.count("data-canvas") == 3 and ">difference</h3>" in text


def test_nodes_off_every_way_are_not_live() -> None:
    edges = [Scored("input", "0.mlp", 1.0), Scored("0.mlp", "logits", 1.0)]
    stray = [Scored("input", "1.attn", 1.0), Scored("1.mlp", "logits", 1.0)]
    assert live(edges + stray) == {"input", "0.mlp", "logits"}
    assert live(stray) == set()


@pytest.mark.parametrize("n_layers", [1, 12, 80])
def test_no_two_edges_lie_on_each_other_and_all_are_inside(n_layers: int) -> None:
    names = ["input", *(f"{i}.{k}" for i in range(n_layers) for k in ("attn", "mlp")), "logits"]
    edges = [
        Scored(a, b, (-1) ** i / (1 + i + j), 0.0)
        for i, a in enumerate(names)
        for j, b in enumerate(names[i + 1 :])
    ]
    edges.sort(key=lambda e: -abs(e.score))
    drawn = draw("", edges, n_layers, read_canvas({}), len(edges), "logit")
    paths = [arc.path for arc in drawn.arcs]
    assert len(set(paths)) == len(paths) == min(300, len(edges))
    numbers = [list(map(float, re.findall(r"-?[\d.]+", path))) for path in paths]
    assert all(0 <= x <= drawn.width for one in numbers for x in one[0::2])
    # A curve stays within its control points; it reaches three quarters of the way to them.
    middle = [(one[1] + 3 * one[3] + 3 * one[5] + one[7]) / 8 for one in numbers]
    assert all(0 <= y <= drawn.height for y in middle)
    assert drawn.n_undrawn == max(0, len(edges) - 300)


def test_groups_are_read_as_they_are_written() -> None:
    groups = (Group("a-b; c=d,é", ("1.mlp", "input")), Group("-", ("2.attn",), True))
    assert read_groups(write_groups(groups)) == groups
    assert read_groups("a=1.mlp;b=1.mlp,2.mlp;c=1.mlp") == (
        Group("a", ("1.mlp",)),
        Group("b", ("2.mlp",)),
    )
    with pytest.raises(UserError, match="node's name"):
        read_groups("1.mlp=2.mlp")


def test_the_drawn_circuit_is_a_drawing_a_table_and_a_document(
    client: TestClient, explored: ExploredEngine
) -> None:
    asked = {**PAIR, "size": "5", "hide": "1.mlp", "groups": "-<early>=0.mlp"}
    svg = client.get("/explore/circuits/drawn.svg", params=asked)
    assert svg.headers["content-type"].startswith("image/svg+xml")
    root = ElementTree.fromstring(svg.text)
    words = "".join(root.itertext())
    assert "<early>" in words and "1.mlp" not in svg.text and "data-" not in svg.text
    assert "var(" not in svg.text, "colours of a page mean nothing in a file"
    rows = client.get("/explore/circuits/drawn.csv", params=asked).text.splitlines()
    assert len(rows) == 6 and rows[1].startswith("1,2.mlp,logits,7")
    found = client.get("/explore/circuits/drawn.json", params=asked).json()
    assert (found["n_edges"], found["of"], len(found["edges"])) == (5, 28, 5)
    assert found["groups"] == {"<early>": ["0.mlp"]} and found["hidden"] == ["1.mlp"]
    assert found["components"] == ["blocks.0.mlp", "blocks.2.mlp"]
    again = client.get(found["address"])
    assert again.status_code == 200 and PAIR["prompt"] in again.text
    assert client.get("/explore/circuits/drawn.png", params=asked).status_code == 404


def test_a_circuit_is_saved_under_a_name_opened_and_deleted(
    client: TestClient, explored: ExploredEngine
) -> None:
    query = urlencode({**PAIR, "size": "5", "pin": "0.mlp", "csrf": "x"})
    text = client.post(
        "/explore/circuits", data={"name": "a <b> & c", "query": query}, headers=HTMX
    ).text
    assert "a &lt;b&gt; &amp; c" in text
    (saved,) = explored.store.circuits()
    assert parse_qs(saved.query) == {
        k: [v] for k, v in {**PAIR, "size": "5", "pin": "0.mlp"}.items()
    }
    opened = client.get(
        "/explore/circuits/open", params={"name": saved.name}, follow_redirects=False
    )
    assert opened.headers["location"] == f"/explore?{saved.query}#circuit"
    for name, wrong in (("a <b> & c", query), ("other", "prompt=a&nodes=9"), ("other", "size=1")):
        answer = client.post("/explore/circuits", data={"name": name, "query": wrong}, headers=HTMX)
        assert answer.status_code == 422 and "a &lt;b&gt;" in answer.text, wrong
    assert "open?name=a%20%3Cb%3E" in part(client, "circuit").text
    client.post("/explore/circuits/delete", data={"name": saved.name})
    assert explored.store.circuits() == []
    assert client.get("/explore/circuits/open", params={"name": saved.name}).status_code == 404

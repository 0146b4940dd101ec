"""Compare: only what differs, numbers with intervals, one colour range; and the dossier."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.drawing.drawing import Source
from app.pages.runs._comparison import Compared, groups, named, numbers, settings
from app.pages.runs._comparison_figures import (
    agreement,
    component_panels,
    overlaid,
    probed_answers,
    probed_panels,
    role_panels,
    role_sites,
)
from worker.contract.errors import UserError
from worker.contract.records import RunRecord

Made = Callable[..., Compared]


@pytest.fixture
def compared(made: ModuleType) -> Made:
    def make(kind: str, name: str, **changes: Any) -> Compared:
        source = getattr(made, f"{kind}_source")()
        result = source.result.model_copy(update=changes)
        record = RunRecord(
            id=name, kind="localize", title=name, spec={}, state="done", created="2026-01-01T00:00Z"
        )
        return Compared(name, record, Source(result, source.open))

    return make


def test_runs_are_named_by_what_tells_them_apart() -> None:
    def name(*titles: str) -> list[str]:
        runs = [
            RunRecord(
                id=f"{i}bcdef", kind="localize", title=title, spec={}, state="done",
                created="2026-01-01T00:00Z",
            )
            for i, title in enumerate(titles)
        ]  # fmt: skip
        return named(runs)

    assert name("eap: set on demo", "logit_lens: set on demo") == ["eap", "logit_lens"]
    assert name("eap: set on demo", "eap: other on demo") == [
        "eap: set on demo",
        "eap: other on demo",
    ]
    assert name("eap: set on demo", "eap: set on demo") == ["eap (0bcd)", "eap (1bcd)"]


def test_only_settings_that_differ_are_listed(compared: Made) -> None:
    one = compared("localization", "a", spec={"method": "x", "seed": 0, "options": {"n": 1}})
    other = compared("localization", "b", spec={"method": "x", "seed": 0, "options": {"n": 2}})
    assert settings([one, other]) == [("options.n", ["1", "2"])]


def test_numbers_carry_intervals_and_the_best_is_known_by_its_direction(compared: Made) -> None:
    name = "probes.statement.forget.target_probability.after"
    one = compared("evaluation", "a", summary={name: 0.2, "steps": 3})
    other = compared("evaluation", "b", summary={name: 0.5})
    rows = {row[0]: row for row in numbers([one, other])}
    assert rows[name][1] == "lower"
    assert [cell.is_best for cell in rows[name][2]] == [True, False]
    assert (rows[name][2][0].low, rows[name][2][0].high) == (0.1, 0.35)
    assert [cell.value for cell in rows["steps"][2]] == [3, None]


def test_heatmaps_side_by_side_share_one_range(compared: Made, made: ModuleType) -> None:
    one, other = compared("localization", "a"), compared("localization", "b")
    other.source._files["arrays.npz"] = {"components": one.source.array("components") * 2}
    plot = component_panels([one, other]).figure()
    assert {trace["coloraxis"] for trace in plot["data"]} == {"coloraxis"}
    assert plot["layout"]["coloraxis"]["cmax"] == pytest.approx(1.2)
    assert plot["data"][2]["z"][3][0] == pytest.approx(-1.2)


def test_runs_of_other_units_are_divided_by_their_largest_score(compared: Made) -> None:
    one, other = compared("localization", "a"), compared("localization", "b")
    infos = dict(other.result.arrays)
    infos["components"] = infos["components"].model_copy(update={"unit": "logits"})
    other = compared("localization", "b", arrays=infos)
    drawing = component_panels([one, other])
    assert drawing.figure()["layout"]["coloraxis"]["cmax"] == 1
    assert "different units" in drawing.caption


def test_agreement_is_the_rank_correlation_of_sizes(compared: Made) -> None:
    one, other = compared("localization", "a"), compared("localization", "b")
    scores = one.source.array("components")
    other.source._files["arrays.npz"] = {"components": -3 * scores}
    assert np.allclose(agreement([one, other]).figure()["data"][0]["z"], 1)
    with pytest.raises(UserError, match="at least two"):
        agreement([one])


def test_agreement_of_the_first_components_is_their_overlap(compared: Made) -> None:
    one, other = compared("localization", "a"), compared("localization", "b")
    scores = one.source.array("components").copy()
    labels = list(one.source.info("components").axes[0].labels or ())
    scores[labels.index("blocks.2.mlp")] = 0.0
    scores[labels.index("blocks.0.mlp")] = 9.0
    other.source._files["arrays.npz"] = {"components": scores}
    drawing = agreement([one, other], by="3", among="mlp")
    plot = drawing.figure()
    assert plot["data"][0]["z"] == [[1, 0.5], [0.5, 1]]  # {3, 1, 2} and {0, 3, 1}
    assert (plot["layout"]["coloraxis"]["cmin"], plot["layout"]["coloraxis"]["cmax"]) == (0, 1)
    assert drawing.scales == {"coloraxis": "sequential"}
    assert ("a", "b", 0.5) in drawing.cells.rows
    with pytest.raises(UserError, match="measure of agreement"):
        agreement([one, other], by="often")


def test_curves_of_several_runs_are_overlaid(compared: Made) -> None:
    drawing = overlaid([compared("edit", "a"), compared("edit", "b")], "curve.edit_probability")
    assert [trace["name"] for trace in drawing.figure()["data"]] == ["a", "b"]
    with pytest.raises(UserError, match=r"curve\.none"):
        overlaid([compared("edit", "a")], "curve.none")


def test_an_option_of_one_method_alone_is_no_difference_but_its_method_and_mask_are(
    compared: Made,
) -> None:
    one = compared(
        "edit", "a",
        spec={"method": "x", "options": {"n": 1}, "mask": {"components": ["blocks.0.mlp"]}},
    )  # fmt: skip
    other = compared(
        "edit", "b",
        spec={
            "method": "y", "options": {"k": 1},
            "mask": {"localization": "r", "rule": {"top": 3}},
        },
    )  # fmt: skip
    assert settings([one, other]) == [
        ("method", ["x", "y"]),
        ("mask", ["blocks.0.mlp", "localization r; rule.top 3"]),
    ]


def test_runs_are_grouped_by_kind_and_only_numbers_that_differ_are_laid_side_by_side(
    compared: Made,
) -> None:
    one = compared("evaluation", "a", summary={"both": 0.2, "same": 3, "mine": 1})
    other = compared("evaluation", "b", summary={"both": 0.5, "same": 3})
    odd = compared("edit", "c")
    odd = replace(odd, run=odd.run.model_copy(update={"kind": "unlearn"}))
    first, last = groups([odd, one, other])
    assert (first.kind, last.kind, last.is_alone) == ("localize", "unlearn", True)
    assert [row[0] for row in first.numbers] == ["both"]
    assert [row[0] for row in first.same] == ["same"]
    assert [row[0] for row in first.of_one] == ["mine"]


def test_between_two_heatmaps_stands_their_difference_on_the_same_range(compared: Made) -> None:
    one, other = compared("localization", "a"), compared("localization", "b")
    other.source._files["arrays.npz"] = {"components": one.source.array("components") * 2}
    drawing = component_panels([one, other])
    left, between, right = drawing.figure()["data"]
    assert left["coloraxis"] == between["coloraxis"] == right["coloraxis"]
    for mine, more, theirs in zip(left["z"], between["z"], right["z"], strict=True):
        for a, d, b in zip(mine, more, theirs, strict=True):
            assert a is None or d == pytest.approx(b - a, abs=0.01)
    assert "right one less the left one" in drawing.caption
    three = component_panels([one, other, compared("localization", "c")])
    assert len(three.figure()["data"]) == 3 and "difference" not in three.caption


def test_what_evaluations_asked_fact_by_fact_stands_on_one_range_from_0_to_1(
    compared: Made,
) -> None:
    one, other = compared("evaluation", "a"), compared("evaluation", "b")
    name = probed_answers([one, other])[0]
    plot = probed_panels([one, other], name).figure()
    assert (plot["layout"]["coloraxis"]["cmin"], plot["layout"]["coloraxis"]["cmax"]) == (0, 1)
    middle = plot["data"][1]
    assert middle["coloraxis"] == "coloraxis2"
    assert all(value in (0, None) for row in middle["z"] for value in row)
    with pytest.raises(UserError, match=r"asked for 'probes\.none'"):
        probed_panels([one], "probes.none")


def test_traces_stand_side_by_side_by_token_role(compared: Made) -> None:
    one, other = compared("localization", "a"), compared("localization", "b")
    sites = role_sites([one, other])
    assert sites and not role_sites([one])
    plot = role_panels([one, other], sites[0]).figure()
    assert len(plot["data"]) == 3
    with pytest.raises(UserError, match="means by token role"):
        role_panels([one], "nowhere")


def test_the_page_compares_what_its_address_names(
    client: TestClient, put: Callable[..., str], made: ModuleType
) -> None:
    one = put("unlearn", made.edit_source())
    source = made.edit_source()
    changed = {**source.result.summary, "quick.edit_probability.after": 0.5}
    other = put(
        "unlearn", Source(source.result.model_copy(update={"summary": changed}), source.open)
    )
    page = client.get(f"/compare?run={one}&run={other}").text
    assert "2 edits" in page and "Where the settings differ" in page
    assert "quick.edit_probability.after" in page
    answer = client.get(f"/compare/figures/curves.json?run={one}&run={other}")
    assert answer.json()["data"]
    assert client.get("/compare?run=nowhere").status_code == 404
    assert client.get(f"/compare/figures/nothing.json?run={one}").status_code == 404


def test_unlike_runs_are_grouped_and_never_set_against_nothing(
    client: TestClient, put: Callable[..., str], made: ModuleType
) -> None:
    one = put("localize", made.localization_source())
    other = put("unlearn", made.edit_source())
    page = client.get(f"/compare?run={one}&run={other}").text
    assert "Each alone of its kind" in page and "Where the settings differ" not in page
    listed = page.partition('aria-label="Runs to compare"')[2]
    assert f'value="{one}" checked' in listed and f'value="{other}"' not in listed
    assert f'<input type="hidden" name="run" value="{other}">' in page, "it stays chosen"
    every = client.get(f"/compare?run={one}&kind=every").text
    assert f'value="{other}"' in every.partition('aria-label="Runs to compare"')[2]


def test_a_dossier_tells_an_edit_from_facts_to_probes(
    client: TestClient, put: Callable[..., str], made: ModuleType
) -> None:
    edit = put("unlearn", made.edit_source())
    page = client.get(f"/dossier/{edit}").text
    assert "Athlete 3" in page and "16 facts of" in page
    assert "Nothing outside the mask moved" in page
    assert "Nobody has probed this edit yet" in page
    assert "The mask was not made from a localization" in page
    assert f'href="/dossier/{edit}"' in client.get("/dossier").text


def test_a_dossier_of_something_else_is_refused(
    client: TestClient, put: Callable[..., str], made: ModuleType
) -> None:
    other = put("localize", made.localization_source())
    answer = client.get(f"/dossier/{other}")
    assert answer.status_code == 422
    assert "a dossier tells of a finished edit" in answer.text

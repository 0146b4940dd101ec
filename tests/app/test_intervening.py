"""Interventions in an address: what is read is what is written, and what is none is said."""

import pytest

from app.intervening import active, read_switches, write
from worker.contract.errors import UserError
from worker.contract.interventions import MOST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "zero.mlp.3",
        "-mean.attn.0@7",
        "patch.head.5.1;resample.resid.2@0",
        "scale.neuron.6.95@23*-2.5",
        "direction.resid.3*0.5>golf; scale.mlp.1*0",
        "direction.mlp.3@4*1>%3B%D7%93%3E%2A",
    ],
)
def test_a_list_is_read_as_it_is_written(text: str) -> None:
    once = read_switches(text)
    assert write(once) == text.replace("; ", ";")
    assert read_switches(write(once)) == once


def test_only_what_is_on_is_told_to_a_model() -> None:
    switches = read_switches("-zero.mlp.3;scale.head.5.1@2*2")
    assert active(switches) == [
        {"kind": "scale", "site": "head", "layer": 5, "head": 1, "token": 2, "factor": 2.0}
    ]
    toward = read_switches("direction.resid.3>%3Bsemicolon")
    assert toward[0].made.toward == ";semicolon"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("zero", "expected kind, site and layer"),
        ("zero.mlp.x", "expected kind, site and layer"),
        ("burn.mlp.3", "burn"),
        ("zero.eye.3", "eye"),
        ("zero.head.3", "expected its number"),
        ("zero.mlp.3.1", "neuron"),
        ("direction.resid.3", "toward"),
        ("scale.mlp.3*1e9", "1000"),
        ("<b>.mlp.3", "'<b>.mlp.3'"),
        (";".join(["zero.mlp.1"] * (MOST + 1)), f"expected {MOST} at most"),
    ],
)
def test_what_is_no_intervention_is_told_with_its_text(text: str, words: str) -> None:
    with pytest.raises(UserError, match="intervention") as refused:
        read_switches(text)
    assert words in str(refused.value)
    assert refused.value.problems[0][0] == "on"

"""What a run is called, found by and built on, from its spec."""

import pytest

from worker.contract.spec import parse_spec
from worker.store.describe import method_of, parents_of, plain, search_text, title_of

FACTS = {"set": "athletes", "forget": "first:2"}
LOCALIZE = {"kind": "localize", "facts": FACTS, "method": "causal_tracing"}
MASK = {"components": ["blocks.1.mlp"]}
FOUND = {"localization": "loc", "rule": {"top": 1}}
UNLEARN = {"kind": "unlearn", "facts": FACTS, "mask": MASK, "method": "npo"}
EVALUATE = {"kind": "evaluate", "facts": FACTS, "evaluations": ["probes", "verdict"]}
EDITED = {"model": {"base": "demo", "edits": ["a", "b"]}}
EXPORT = {"kind": "export", **EDITED}


def through(*components: str) -> dict[str, object]:
    return {**UNLEARN, "mask": {"components": list(components)}}


@pytest.mark.parametrize(
    ("spec", "title"),
    [
        (LOCALIZE, "Causal tracing of 2 athletes on demo"),
        (UNLEARN, "Npo of 2 athletes through MLP 1 on demo"),
        (
            {**UNLEARN, "facts": {**FACTS, "edit_to": " golf "}},
            "Npo of 2 athletes → golf through MLP 1 on demo",
        ),
        (
            {**UNLEARN, "facts": {"set": "kb", "forget": "ids:a,b,c", "edit_to": 70 * "y"}},
            f"Npo of 3 of kb → {60 * 'y'} through MLP 1 on demo",
        ),
        ({**LOCALIZE, "facts": {"set": "sports", "forget": "group:golf"}},
         "Causal tracing of sports, group golf on demo"),
        ({**LOCALIZE, "facts": {"set": "sports", "forget": 'ids:["a"]'}},
         'Causal tracing of sports, ids ["a"] on demo'),
        ({**LOCALIZE, "facts": {"set": "sports", "forget": "held_out"}},
         "Causal tracing of sports, held_out on demo"),
        ({**LOCALIZE, "facts": {"set": "cities", "forget": "first:1"}},
         "Causal tracing of 1 of cities on demo"),
        (through("blocks.3.mlp", "blocks.1.mlp", "blocks.2.mlp"),
         "Npo of 2 athletes through MLPs 1–3 on demo"),
        (through("blocks.0.mlp", "blocks.7.mlp"),
         "Npo of 2 athletes through MLPs 0, 7 on demo"),
        (through(*(f"blocks.{layer}.mlp" for layer in range(0, 14, 2))),
         "Npo of 2 athletes through 7 MLPs on demo"),
        (through("blocks.0.mlp", "blocks.7.attn"),
         "Npo of 2 athletes through 2 components on demo"),
        ({**UNLEARN, "mask": {"control": {"kind": "all"}}},
         "Npo of 2 athletes through everything on demo"),
        ({**UNLEARN, "mask": FOUND}, "Npo of 2 athletes on demo"),
        ({**EVALUATE, **EDITED}, "Probes, Verdict: 2 athletes on demo + 2 edits"),
        (
            {**EVALUATE, "evaluations": ["a", "b", "c", "d"]},
            "A, B and 2 more: 2 athletes on demo",
        ),
        (
            {**EVALUATE, "model": {"base": "demo", "edits": ["a"]}},
            "Probes, Verdict: 2 athletes on demo + 1 edit",
        ),
        ({"kind": "explore", "view": "lens", **EDITED}, "Lens on demo + 2 edits"),
        ({"kind": "add", "model": "smollm2"}, "Add the model smollm2"),
        (EXPORT, "Hugging Face folder of demo + 2 edits"),
    ],
)  # fmt: skip
def test_a_title_says_what_is_done_to_which_facts_on_which_model(
    spec: dict[str, object], title: str
) -> None:
    assert title_of(parse_spec(spec)) == title


def test_a_method_with_a_title_of_its_own_is_called_by_it() -> None:
    titles = {"npo": "NPO", "probes": "Probes in many formats"}
    assert title_of(parse_spec(UNLEARN), titles) == "NPO of 2 athletes through MLP 1 on demo"
    assert title_of(parse_spec(EVALUATE), titles).startswith("Probes in many formats, Verdict: 2")


@pytest.mark.parametrize(
    ("spec", "method"),
    [
        (LOCALIZE, "causal_tracing"),
        (UNLEARN, "npo"),
        (EVALUATE, "probes, verdict"),
        ({"kind": "explore", "view": "lens"}, "lens"),
        (EXPORT, "export"),
    ],
)
def test_a_method_is_what_computes_a_spec(spec: dict[str, object], method: str) -> None:
    assert method_of(parse_spec(spec)) == method


@pytest.mark.parametrize(
    ("spec", "parents"),
    [
        (LOCALIZE, []),
        ({**LOCALIZE, **EDITED}, ["a", "b"]),
        (UNLEARN, []),
        ({**UNLEARN, **EDITED, "mask": FOUND}, ["a", "b", "loc"]),
        ({**EVALUATE, "mask": FOUND}, ["loc"]),
        ({**EXPORT, "results": ["c"]}, ["a", "b", "c"]),
        ({**UNLEARN, "method": "stack_edits", "options": {"edits": ["x", "y"]}}, ["x", "y"]),
        ({**UNLEARN, "method": "stack_edits"}, []),
        ({**UNLEARN, "options": {"edits": ["x"]}}, []),
    ],
)
def test_a_run_builds_on_its_edits_its_masks_localization_and_what_it_stacks(
    spec: dict[str, object], parents: list[str]
) -> None:
    assert parents_of(parse_spec(spec)) == parents


def test_a_search_looks_through_all_that_names_a_run() -> None:
    spec = parse_spec({**EVALUATE, **EDITED}).model_dump(mode="json")
    assert search_text("ID", "My Straße", spec) == (
        "id my strasse evaluate probes verdict athletes first:2 demo"
    )
    assert search_text("i", "t", {**LOCALIZE, "model": "Big"}) == (
        "i t localize causal_tracing athletes first:2 big"
    )
    assert search_text("i", "t", {"kind": "explore", "view": "Lens", "model": None}) == (
        "i t explore lens"
    )


def test_what_no_database_stores_is_written_otherwise() -> None:
    assert plain("A\0b\ud800É") == "a b?é"

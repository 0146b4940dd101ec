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


@pytest.mark.parametrize(
    ("spec", "title"),
    [
        (LOCALIZE, "causal_tracing: athletes first:2 on demo"),
        (UNLEARN, "npo: athletes first:2 on demo"),
        (
            {**UNLEARN, "facts": {**FACTS, "edit_to": " golf "}},
            "npo: athletes first:2 to golf on demo",
        ),
        (
            {**UNLEARN, "facts": {"set": "s", "forget": "ids:" + 70 * "x", "edit_to": 70 * "y"}},
            f"npo: s ids:{56 * 'x'} to {60 * 'y'} on demo",
        ),
        ({**EVALUATE, **EDITED}, "probes, verdict: athletes first:2 on demo + 2 edits"),
        (
            {**EVALUATE, "model": {"base": "demo", "edits": ["a"]}},
            "probes, verdict: athletes first:2 on demo + 1 edit",
        ),
        ({"kind": "explore", "view": "lens", **EDITED}, "lens on demo + 2 edits"),
        ({"kind": "add", "model": "smollm2"}, "Add the model smollm2"),
        (EXPORT, "Hugging Face folder of demo + 2 edits"),
    ],
)
def test_a_title_says_what_is_done_to_which_facts_on_which_model(
    spec: dict[str, object], title: str
) -> None:
    assert title_of(parse_spec(spec)) == title


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

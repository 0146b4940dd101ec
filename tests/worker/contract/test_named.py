"""What a spec names, and what a study lacks before any of its runs begins."""

import pytest

from tests.worker.engine.study.test_plan import PARAMETERS, STUDY
from worker.contract.named import (
    methods_of,
    needs_budget,
    study_problems,
    unable,
    unable_method,
)
from worker.contract.spec import parse_spec
from worker.contract.study import StudyMask

COMPONENTS = frozenset(PARAMETERS)


def changed(**fields):
    return parse_spec({**STUDY, **fields})


def test_a_study_names_its_localizations_methods_trials_and_evaluations() -> None:
    named = [(kind, name, field) for kind, name, field, _, _ in methods_of(changed())]
    assert named == [
        ("evaluation", "probes", "evaluations"),
        *[("unlearning", "localized_finetuning", "methods.ft.method")] * 3,
        ("localization", "fact_lookup", "masks.lookup.localization.method"),
        ("localization", "causal_tracing", "masks.tracing.localization.method"),
    ]


def test_a_sound_study_lacks_nothing() -> None:
    assert study_problems(changed(), COMPONENTS) == []


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"budget": None}, "masks.tracing", "the study has none"),
        ({"budget": None}, "masks.random", "the study has none"),
        ({"budget": "random"}, "budget", "'Random' sets no budget"),
        (
            {"masks": STUDY["masks"] | {"own": {"title": "Own", "components": ["blocks.9.mlp"]}}},
            "masks.own.components",
            "'blocks.9.mlp', which 'demo' does not have",
        ),
        (
            {"masks": STUDY["masks"] | {"own": {"title": "Own", "components": []}}},
            "masks.own.components",
            "names no component",
        ),
        (
            {"score": {"names": ["edit"], "search_seed": 1}},
            "score.search_seed",
            "one of the compared seeds",
        ),
    ],
)
def test_what_a_study_lacks_is_said_beside_its_field(fields, field, words) -> None:
    problems = dict(study_problems(changed(**fields), COMPONENTS))
    assert words in problems[field]


FACTS = {"set": "s"}
GIVEN = {"facts": FACTS, "options": {"a": 1}}


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (
            {"kind": "localize", "method": "m", **GIVEN},
            [("localization", "m", "method", {"a": 1}, "options")],
        ),
        (
            {"kind": "unlearn", "method": "m", "mask": {"components": ["blocks.1.mlp"]}, **GIVEN},
            [("unlearning", "m", "method", {"a": 1}, "options")],
        ),
        (
            {"kind": "explore", "view": "v", "options": {"a": 1}},
            [("explore", "v", "view", {"a": 1}, "options")],
        ),
        (
            {
                "kind": "evaluate",
                "facts": FACTS,
                "evaluations": ["e", "f"],
                "options": {"f": {"a": 1}},
            },
            [
                ("evaluation", "e", "evaluations", {}, "options.e"),
                ("evaluation", "f", "evaluations", {"a": 1}, "options.f"),
            ],
        ),
        ({"kind": "export", "model": {"base": "demo", "edits": ["a"]}}, []),
    ],
)
def test_a_spec_names_its_methods_with_their_options(
    spec: dict[str, object], named: list[tuple[object, ...]]
) -> None:
    assert methods_of(parse_spec(spec)) == named


def test_a_studys_methods_have_the_place_of_their_options_and_each_searched_value() -> None:
    found = [(name, options, where) for _, name, _, options, where in methods_of(changed())]
    assert found[1:] == [
        ("localized_finetuning", {}, "methods.ft.options"),
        ("localized_finetuning", {"learning_rate": 0.1}, "methods.ft.options"),
        ("localized_finetuning", {"learning_rate": 0.2}, "methods.ft.options"),
        ("fact_lookup", {}, "masks.lookup.localization.options"),
        ("causal_tracing", {}, "masks.tracing.localization.options"),
    ]


def test_a_method_that_needs_what_the_model_lacks_cannot_be_used_and_that_is_said_once() -> None:
    lacks = {"heads": "it has none"}
    assert unable_method((), lacks) == ""
    assert unable_method(("mlp",), lacks) == ""
    assert unable_method(("mlp", "heads"), lacks) == "it has none"
    needs = {("unlearning", "localized_finetuning"): ("heads",)}
    assert unable(changed(), needs, {}) == []
    assert unable(changed(), needs, lacks) == [
        (
            "methods.ft.method",
            "localized_finetuning cannot be used on 'demo': it has none. Choose another method.",
        )
    ]


@pytest.mark.parametrize(
    ("mask", "needs"),
    [
        ({"control": "random"}, True),
        ({"control": "random_mlps"}, True),
        ({"control": "all"}, False),
        ({"components": ("a",)}, False),
        ({"localization": {"method": "m"}}, True),
        ({"localization": {"method": "m"}, "suggested": True}, False),
        ({"localization": {"method": "m"}, "rule": {"top": 1}}, False),
    ],
)
def test_a_mask_without_a_size_of_its_own_needs_the_studys(
    mask: dict[str, object], needs: bool
) -> None:
    assert needs_budget(StudyMask(title="m", **mask)) == needs


def test_components_set_a_budget_too_and_a_study_without_one_lacks_nothing_else() -> None:
    own = {"own": {"title": "Own", "components": ["blocks.1.mlp"]}}
    assert study_problems(changed(masks=STUDY["masks"] | own, budget="own"), COMPONENTS) == []
    alone = changed(masks=own, budget=None, reference=None)
    assert study_problems(alone, COMPONENTS) == []

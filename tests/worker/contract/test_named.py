"""What a spec names, and what a study lacks before any of its runs begins."""

import pytest

from tests.worker.engine.study.test_plan import PARAMETERS, STUDY
from worker.contract.named import methods_of, study_problems
from worker.contract.spec import parse_spec

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

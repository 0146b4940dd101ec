"""A study's tables, as they are read."""

import json

import numpy as np

from tests.worker.engine.study.test_plan import PARAMETERS, STUDY, Lab, study
from worker.contract.mask import Mask
from worker.contract.result import Comparison, Evaluation
from worker.contract.spec import EvaluateSpec, Spec, StudySpec, UnlearnSpec
from worker.engine.study.outcome import Child
from worker.engine.study.plan import conduct
from worker.engine.study.tables import label, study_tables

GROUPS = [("lookup", "ft"), ("tracing", "ft"), ("random", "ft")]
VALUES = np.array([[[0.9, 0.7]], [[0.5, 0.1]], [[np.nan, np.nan]]])
PARAMETERS_OF = np.array([[20.0, 30.0], [20.0, np.nan], [np.nan, np.nan]])


class Told(Lab):
    """Children that say their masks and what their numbers are."""

    def answer(self, spec: Spec) -> Child:
        child = super().answer(spec)
        found = child.result
        if found is None:
            return child
        if isinstance(spec, UnlearnSpec):
            mask = Mask(components=("blocks.0.mlp", "blocks.1.mlp"), n_parameters=20)
            found = found.model_copy(update={"mask": mask})
        if isinstance(spec, EvaluateSpec):
            one = Comparison(name="choice", title="Choice", better="higher")
            told = Evaluation(name="e", title="", caption="", aggregates=(one,))
            found = found.model_copy(update={"evaluations": {"e": told}})
        return Child(child.handle, found)


def tables(
    metrics: tuple[str, ...] = ("choice.after",), **fields: object
) -> dict[str, list[tuple[object, ...]]]:
    spec = StudySpec.model_validate({**STUDY, "seeds": [0, 1], **fields})
    outcome = conduct(spec, Told(failing="causal_tracing"), PARAMETERS)
    values = np.repeat(VALUES, len(metrics), axis=1)
    made = study_tables(spec, outcome, GROUPS, metrics, values, PARAMETERS_OF)
    return {name: [table.columns, *table.rows] for name, table in made.items()}


def test_groups_have_their_mean_size_and_intervals() -> None:
    assert tables()["groups"] == [
        ("group", "parameters", "choice.after"),
        ("Lookup", 25.0, "0.8 [0.7, 0.9]"),
        ("Tracing", 20.0, "0.3 [0.1, 0.5]"),
        ("Random", None, "–"),
    ]


def test_differences_are_the_reference_minus_each_other_seed_by_seed() -> None:
    assert tables()["differences"] == [
        ("group", "choice.after"),
        ("Tracing", "0.5 [0.4, 0.6]"),
        ("Random", "–"),
    ]
    assert "differences" not in tables(reference=None)


def test_masks_trials_metrics_and_failures_are_listed() -> None:
    found = tables()
    names = "blocks.0.mlp, blocks.1.mlp"
    assert found["masks"][1:] == [
        (group, seed, names, 20) for group in ("Lookup", "Random") for seed in (0, 1)
    ]
    assert found["metrics"][1:] == [("choice.after", "Choice, after", "higher")]
    mask, method, options, score, _, seed = found["trials"][1]
    assert (mask, method, json.loads(options)) == ("lookup", "ft", {"learning_rate": 0.1})
    assert (score, seed) == (0.1, 1000)
    assert found["trials"][0] == ("mask", "method", "options", "score", "run", "search")
    assert found["masks"][0] == ("group", "seed", "components", "parameters")
    assert found["failures"][0] == ("what", "reason")
    assert ("tracing, seed 0", "it failed") in found["failures"]


def test_what_no_evaluation_explains_goes_by_its_name_and_no_direction_is_better() -> None:
    assert tables(("choice.after", "own"))["metrics"] == [
        ("metric", "title", "better"),
        ("choice.after", "Choice, after", "higher"),
        ("own", "own", "none"),
    ]


def test_a_group_is_named_by_its_method_too_where_there_are_several() -> None:
    assert label(study(), "lookup", "ft") == "Lookup"
    methods = STUDY["methods"] | {"npo": {"title": "NPO", "method": "npo"}}
    several = StudySpec.model_validate({**STUDY, "methods": methods})
    assert label(several, "lookup", "npo") == "Lookup, NPO"

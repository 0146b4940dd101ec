from copy import deepcopy

import pytest

from worker.contract.errors import UserError
from worker.contract.named import study_problems
from worker.contract.selection import besides, select
from worker.core.facts.athletes import fact_set
from worker.core.registry import methods
from worker.engine.study.built_in import STUDIES, built_in_study
from worker.engine.study.search import check_search_facts, facts_of

WHOLE = frozenset(f"blocks.{layer}.{kind}" for layer in range(8) for kind in ("mlp", "attn"))


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("of", [("", ""), ("smollm2", "continents")])
def test_every_built_in_study_is_whole(name: str, of: tuple[str, str]) -> None:
    spec = built_in_study(name, *of)
    assert not study_problems(spec, WHOLE)
    if not of[0]:
        check_search_facts(spec, fact_set())


def test_equal_options_are_equal_for_every_group_and_the_rest_is_the_searched_studys() -> None:
    names = ("paper_comparison", "paper_comparison_equal_options")
    searched, equal = (built_in_study(name) for name in names)
    assert not any(method.search for method in equal.methods.values()) and equal.score is None
    assert (searched.masks, searched.seeds, searched.facts) == (
        equal.masks, equal.seeds, equal.facts,
    )  # fmt: skip
    assert [m for m in searched.methods if m not in equal.methods] == []


def test_no_search_of_the_papers_comparison_forgets_what_a_seed_forgets() -> None:
    spec, facts = built_in_study("paper_comparison"), fact_set()
    assert spec.score is not None and spec.score.searches == len(spec.seeds)
    compared = {f.id for s in spec.seeds for f in select(facts, spec.facts.forget, s).forget}
    for seed in spec.score.seeds:
        chosen = select(facts, facts_of(spec, spec.facts, seed).forget, seed).forget
        assert len(chosen) == 32 and not {f.id for f in chosen} & compared


def test_another_model_begins_at_lower_rates_and_forgets_what_it_knows() -> None:
    spec = built_in_study("paper_comparison", "smollm2", "continents")
    (method,) = spec.methods.values()
    assert max(method.search["learning_rate"]) < 1e-3
    assert spec.facts.known is not None and "side_effects" in spec.evaluations


def test_the_table_of_all_methods_has_every_method_of_editing_facts_with_its_defaults() -> None:
    spec = built_in_study("every_method", "smollm2", "continents")
    not_of_facts = {"stack_edits", "whos_harry_potter"}
    assert {one.method for one in spec.methods.values()} == set(
        methods("unlearning")
    ) - not_of_facts
    assert all(set(one.options) <= {"objective"} for one in spec.methods.values())
    objectives = [one.options.get("objective") for one in spec.methods.values()]
    assert {"edit", "unlearn"} <= set(objectives)


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (besides("random:400", (0, 1)), "others are left"),
        (besides("first:300", (0,)), "as many as 300 are needed"),
        ("random:* besides random:4", "names no rule and seeds"),
        ("random:* besides @1", "names no rule and seeds"),
        ("random:* besides random:4@1,x", "names no rule and seeds"),
    ],
)
def test_a_search_that_finds_too_few_facts_is_refused_in_words(selection: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        select(fact_set(), selection)


@pytest.mark.parametrize("rule", ["first:12", "group:baseball", "ids:a,b,c"])
def test_facts_besides_a_fixed_selection_are_as_many_others(rule: str) -> None:
    facts = fact_set()
    if rule.startswith("ids"):
        rule = f"ids:{','.join(fact.id for fact in facts.facts[3:6])}"
    fixed = {fact.id for fact in select(facts, rule).forget}
    others = {fact.id for fact in select(facts, besides(rule, (0, 1)), 7).forget}
    assert len(others) == len(fixed) and not others & fixed


def test_the_papers_comparison_is_computed_as_its_reports_were() -> None:
    spec = built_in_study("paper_comparison")
    tracing = ("causal_tracing", {"sites": ["mlp"], "samples": 4})
    clean, corrupted = (
        ("attribution_patching", {"direction": way}) for way in ("clean", "corrupted")
    )
    located = {
        name: (mask.localization.method, mask.localization.options, mask.only)
        for name, mask in spec.masks.items()
        if mask.localization
    }
    assert located == {
        "fact_lookup": ("fact_lookup", {"by": "probe"}, "whole"),
        "causal_tracing": (*tracing, "whole"),
        "causal_tracing_mlps": (*tracing, "mlp"),
        "attribution_patching": (*clean, "whole"),
        "attribution_patching_mlps": (*clean, "mlp"),
        "attribution_patching_corrupted": (*corrupted, "whole"),
    }
    assert [name for name, mask in spec.masks.items() if mask.suggested] == ["fact_lookup"]
    assert {name: mask.control for name, mask in spec.masks.items() if mask.control} == {
        "random": "random", "random_mlps": "random_mlps", "all_mlps": "all_mlps",
        "everything": "all",
    }  # fmt: skip
    (method,) = spec.methods.values()
    assert (method.method, method.options) == (
        "localized_finetuning", {"steps": 50, "probe_every": 25, "objective": "edit"},
    )  # fmt: skip
    assert method.search == {"learning_rate": (1e-3, 3e-3, 9e-3), "forget_weight": (0.5, 1.0)}
    assert (spec.model, spec.facts.set, spec.facts.forget) == ("demo", "athletes", "random:32")
    assert (spec.seeds, spec.budget, spec.reference) == (
        (0, 1, 2, 3, 4), "fact_lookup", "fact_lookup",
    )  # fmt: skip
    trained, held_out = ("statement", "question", "choice"), ["paraphrase", "question", "choice"]
    formats = [*trained, *(f"{name}_held_out" for name in held_out)]
    assert spec.evaluations == ("probes", "relearning", "latent_probes")
    assert spec.options == {
        "probes": {"formats": formats, "retain_facts": 32},
        "relearning": {"modes": ["lora"], "measure_every": 10},
    }
    assert spec.score is not None and spec.score.model_dump() == {
        "names": ("quick.edit_probability.after", "quick.retain_probability.after"),
        "scale": "log_odds",
        "search_seed": 1000,
        "searches": 5,
    }
    (equal,) = built_in_study("paper_comparison_equal_options").methods.values()
    assert equal.options == method.options | {"learning_rate": 3e-3, "forget_weight": 0.5}


def test_the_table_of_all_methods_is_computed_as_its_reports_were() -> None:
    spec = built_in_study("every_method")
    assert (spec.facts.forget, spec.seeds, list(spec.masks)) == ("random:16", (0,), ["fact_lookup"])
    assert (spec.evaluations, spec.options) == (
        ("probes", "side_effects"),
        {
            "probes": {"formats": ["statement"], "retain_facts": 64},
            "side_effects": {"sentences": 64, "facts_per_relation": 8},
        },
    )
    edits = {name: m.options for name, m in spec.methods.items() if m.options}
    assert edits == {
        f"localized_finetuning_{objective}": {"objective": objective}
        for objective in ("edit", "unlearn")
    }
    assert all(name == m.method for name, m in spec.methods.items() if not m.options)


def test_another_models_changes_are_few_and_leave_the_built_in_study_as_it_is() -> None:
    before = deepcopy(STUDIES)
    own = built_in_study("paper_comparison", "demo", "")
    other = built_in_study("paper_comparison", "smollm2", "continents")
    assert before == STUDIES
    assert own == built_in_study("paper_comparison")
    facts = built_in_study("paper_comparison", facts="continents")
    assert facts == own.model_copy(
        update={"facts": own.facts.model_copy(update={"set": "continents"})}
    )
    (method,) = other.methods.values()
    assert method.search["learning_rate"] == (3e-5, 1e-4, 3e-4)
    assert other.facts.known is not None and other.facts.forget == "random:16"
    assert (other.facts.known.among, other.facts.known.probability) == ("vocabulary", 0.5)
    assert other.evaluations == (*own.evaluations, "side_effects")
    (equal,) = built_in_study("paper_comparison_equal_options", "smollm2").methods.values()
    assert equal.options["learning_rate"] == 3e-4
    every = built_in_study("every_method", "smollm2")
    assert every.evaluations == ("probes", "side_effects"), "asked for already"
    assert "learning_rate" not in every.methods["npo"].options
    with pytest.raises(UserError, match="Did you mean 'every_method'") as caught:
        built_in_study("every_methods")
    assert caught.value.problems[0][0] == "study"

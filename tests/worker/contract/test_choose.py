import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.contract.choose import choose, control, mask_of, suggested_mask
from worker.contract.errors import UserError
from worker.contract.mask import Mask, MaskRule
from worker.contract.result import Attribution

PARAMETERS = {
    "blocks.0.mlp": 100,
    "blocks.0.attn": 40,
    "blocks.0.attn.head.0": 20,
    "blocks.0.attn.head.1": 20,
    "blocks.1.mlp": 100,
    "blocks.1.attn": 40,
}
SCORES = {
    "blocks.0.mlp": -3.0,
    "blocks.0.attn": 2.0,
    "blocks.0.attn.head.0": 1.9,
    "blocks.1.mlp": 1.0,
    "blocks.1.attn": 0.1,
}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"top": 1}, ("blocks.0.mlp",)),
        ({"top": 1, "signed": True}, ("blocks.0.attn",)),
        ({"top": 2, "only": "mlp"}, ("blocks.0.mlp", "blocks.1.mlp")),
        ({"threshold": 1.95}, ("blocks.0.attn", "blocks.0.mlp")),
        ({"parameters": 101}, ("blocks.0.attn", "blocks.0.mlp")),
        ({"top": 1, "only": "head"}, ("blocks.0.attn.head.0",)),
        ({"top": 3, "only": "whole"}, ("blocks.0.attn", "blocks.0.mlp", "blocks.1.mlp")),
    ],
)
def test_a_rule_takes_the_largest_scores_it_allows(
    rule: dict[str, object], expected: tuple[str, ...]
) -> None:
    assert choose(SCORES, PARAMETERS, MaskRule.model_validate(rule)).components == expected


def test_an_attention_and_its_own_head_are_never_both_taken() -> None:
    mask = choose(SCORES, PARAMETERS, MaskRule(top=4))
    assert "blocks.0.attn.head.0" not in mask.components
    assert mask.n_parameters == 280


def test_a_threshold_above_every_score_says_the_largest() -> None:
    with pytest.raises(UserError, match="largest score is 3"):
        choose(SCORES, PARAMETERS, MaskRule(threshold=5))


def test_the_methods_own_choice_is_taken_or_its_reason_given() -> None:
    said = {"method": "fact_lookup", "metric": "", "direction": "", "unit": ""}
    own = Attribution(**said, suggested=Mask(components=("blocks.1.mlp", "blocks.0.attn")))
    mask = suggested_mask(own, PARAMETERS, "its own")
    assert mask == Mask(
        components=("blocks.0.attn", "blocks.1.mlp"), n_parameters=140, source="its own"
    )
    noise = Attribution(**said, no_choice="No rise found: noise.")
    with pytest.raises(UserError, match=r"suggests no components\. No rise found: noise\."):
        suggested_mask(noise, PARAMETERS)
    for without in (Attribution(**said), None):
        with pytest.raises(UserError, match="Choose by top, threshold or parameters"):
            suggested_mask(without, PARAMETERS)


@pytest.mark.parametrize("more", [{"only": "mlp"}, {"signed": True}, {"top": 3}])
def test_the_methods_own_choice_takes_no_other_rule(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        MaskRule.model_validate({"suggested": True, **more})


def test_a_random_control_reaches_its_budget_and_repeats_with_its_seed() -> None:
    mask = control("random_mlps", PARAMETERS, 150, seed=3)
    assert mask.n_parameters == 200
    assert mask == control("random_mlps", PARAMETERS, 150, seed=3)


def test_all_takes_whole_components_once() -> None:
    assert control("all", PARAMETERS).n_parameters == 280
    assert control("all_mlps", PARAMETERS).components == ("blocks.0.mlp", "blocks.1.mlp")


def test_a_control_without_a_budget_is_refused() -> None:
    with pytest.raises(UserError, match="number of parameters"):
        control("random", PARAMETERS)


@pytest.mark.parametrize("given", [{}, {"top": 1, "threshold": 0.5}])
def test_a_rule_gives_exactly_one_bound(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        MaskRule.model_validate(given)


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_chooses_nothing(score: float) -> None:
    with pytest.raises(UserError, match=r"score of blocks\.1\.mlp is (nan|inf)"):
        choose(SCORES | {"blocks.1.mlp": score}, PARAMETERS, MaskRule(top=1))
    heads = choose(SCORES | {"blocks.1.mlp": score}, PARAMETERS, MaskRule(top=1, only="head"))
    assert heads.components == ("blocks.0.attn.head.0",), "it is not among those that are asked"


@pytest.mark.parametrize("rule", [{"threshold": 2.0}, {"parameters": 140}, {"parameters": 121}])
def test_a_bound_that_is_just_reached_is_enough(rule: dict[str, object]) -> None:
    mask = choose(SCORES, PARAMETERS, MaskRule.model_validate(rule), "said")
    assert (mask.components, mask.source) == (("blocks.0.attn", "blocks.0.mlp"), "said")


def test_equal_scores_are_taken_by_layer_and_then_by_name() -> None:
    level = dict.fromkeys(["blocks.1.attn", "blocks.0.mlp", "blocks.0.attn"], 1.0)
    assert choose(level, PARAMETERS, MaskRule(top=1)).components == ("blocks.0.attn",)
    assert choose(level, PARAMETERS, MaskRule(top=2)).components == (
        "blocks.0.attn",
        "blocks.0.mlp",
    )


def test_a_component_that_the_model_has_not_is_refused_and_layers_count_as_numbers() -> None:
    with pytest.raises(UserError, match=r"no component 'blocks.7.mlp'; it has 6, from") as caught:
        mask_of(["blocks.7.mlp"], PARAMETERS)
    assert "from blocks.0.mlp to blocks.1.attn." in caught.value.message
    assert caught.value.problems[0][0] == "mask.components"
    with pytest.raises(UserError, match="choose at least one") as caught:
        mask_of([], PARAMETERS)
    assert caught.value.problems[0][0] == "mask.components"
    deep = {"blocks.10.mlp": 1, "blocks.9.mlp": 1}
    assert mask_of(["blocks.10.mlp", "blocks.9.mlp"] * 2, deep) == Mask(
        components=("blocks.9.mlp", "blocks.10.mlp"), n_parameters=2
    )


def test_a_refusal_stands_beside_its_field_and_a_control_says_what_it_is() -> None:
    for wrong, field in (
        (lambda: choose(SCORES, PARAMETERS, MaskRule(threshold=5)), "mask.rule"),
        (lambda: choose({}, PARAMETERS, MaskRule(top=1)), "mask.rule"),
        (lambda: suggested_mask(None, PARAMETERS), "mask.rule"),
        (lambda: control("random", PARAMETERS), "mask.control.parameters"),
        (
            lambda: choose({"blocks.0.mlp": float("nan")}, PARAMETERS, MaskRule(top=1)),
            "mask.localization",
        ),
    ):
        with pytest.raises(UserError) as caught:
            wrong()
        assert caught.value.problems[0][0] == field
    assert control("all", PARAMETERS).source == "control: all"
    assert control("random", PARAMETERS, 1, seed=4).source == "control: random, seed 4"
    drawn = {control("random", PARAMETERS, 40, seed=seed).components for seed in range(20)}
    assert len(drawn) > 1, "another seed draws another control"
    assert all(".head." not in name for names in drawn for name in names)
    exact = control("random_mlps", PARAMETERS, 100)
    assert exact.n_parameters == 100 and exact.components[0].endswith(".mlp")


NUMBERS = st.floats(-10, 10, allow_subnormal=False)
SCORED = st.dictionaries(st.sampled_from(list(PARAMETERS)), NUMBERS, min_size=1)
RULES = st.one_of(
    st.builds(lambda n: {"top": n}, st.integers(1, 8)),
    st.builds(lambda x: {"threshold": x}, st.floats(0.01, 12)),
    st.builds(lambda n: {"parameters": n}, st.integers(1, 400)),
)


@given(SCORED, RULES, st.sampled_from(["all", "whole", "mlp", "attn", "head"]), st.booleans())
@settings(derandomize=True, max_examples=80)
def test_whatever_is_scored_a_rule_takes_the_largest_up_to_its_bound_and_none_twice(
    scores: dict[str, float], rule: dict[str, object], only: str, signed: bool
) -> None:
    def size(name: str) -> float:
        return scores[name] if signed else abs(scores[name])

    def inside(name: str, other: str) -> bool:
        return name.startswith(f"{other}.") or other.startswith(f"{name}.")

    kinds = {
        "all": lambda name: True,
        "whole": lambda name: "head" not in name,
        "mlp": lambda name: name.endswith("mlp"),
        "attn": lambda name: name.endswith("attn"),
        "head": lambda name: "head" in name,
    }
    allowed = list(filter(kinds[only], scores))
    try:
        mask = choose(scores, PARAMETERS, MaskRule(**rule, only=only, signed=signed))
    except UserError:
        assert not allowed or max(map(size, allowed)) < rule["threshold"]
        return
    taken = mask.components
    assert mask.n_parameters == sum(PARAMETERS[name] for name in taken)
    assert set(taken) <= set(allowed) and mask == mask_of(list(taken), PARAMETERS)
    assert not any(inside(a, b) for a in taken for b in taken if a != b)
    least = min(map(size, taken))
    left = [n for n in allowed if n not in taken and not any(inside(n, t) for t in taken)]
    assert all(size(name) <= least for name in left)
    if "top" in rule:
        assert len(taken) == rule["top"] or not left
    if "threshold" in rule:
        assert least >= rule["threshold"] > max(map(size, left), default=0)
    if "parameters" in rule:
        last = [PARAMETERS[name] for name in taken if size(name) == least]
        assert mask.n_parameters - max(last) < rule["parameters"]
        assert mask.n_parameters >= rule["parameters"] or not left


@given(st.sampled_from(["random", "random_mlps"]), st.integers(1, 280), st.integers(0, 50))
@settings(derandomize=True, max_examples=30)
def test_any_control_just_reaches_its_budget_of_whole_components(
    kind: str, budget: int, seed: int
) -> None:
    mask = control(kind, PARAMETERS, budget, seed)
    assert not any("head" in name for name in mask.components)
    assert kind == "random" or all(name.endswith("mlp") for name in mask.components)
    every = 200 if kind == "random_mlps" else 280
    assert min(budget, every) <= mask.n_parameters < budget + 100
    assert mask == control(kind, PARAMETERS, budget, seed)

"""A mask says in exactly one way which components may change."""

import pytest
from pydantic import ValidationError

from worker.contract.errors import UserError
from worker.contract.mask import ControlRule, Mask, MaskRule, MaskSpec

ONE = {"top": 3}


def refused(model: type, words: str, **fields: object) -> None:
    with pytest.raises((ValidationError, UserError), match=words):
        model(**fields)


@pytest.mark.parametrize(
    "rule", [{"top": 1}, {"threshold": 0.001}, {"parameters": 1}, {"suggested": True}]
)
def test_a_rule_gives_one_way_to_choose(rule: dict[str, object]) -> None:
    made = MaskRule(**rule)
    assert made.model_dump(exclude_defaults=True) == rule
    assert (made.only, made.signed) == ("all", False)


def test_a_rule_of_no_way_or_of_two_is_refused_with_what_it_gives() -> None:
    refused(MaskRule, "gives nothing; expected exactly one")
    refused(MaskRule, "gives top and parameters; expected", top=1, parameters=2)
    refused(MaskRule, "gives top and threshold; expected", top=1, threshold=2.0)
    refused(MaskRule, "gives top and suggested; expected", top=1, suggested=True)


@pytest.mark.parametrize("more", [{"only": "mlp"}, {"signed": True}])
def test_what_the_method_chose_is_not_chosen_from_again(more: dict[str, object]) -> None:
    refused(MaskRule, "expected suggested alone", suggested=True, **more)
    assert MaskRule(top=1, **more)


@pytest.mark.parametrize("wrong", [{"top": 0}, {"threshold": 0}, {"parameters": 0}])
def test_a_rule_that_chooses_nothing_is_refused(wrong: dict[str, object]) -> None:
    refused(MaskRule, "greater than", **wrong)


def test_a_control_has_a_budget_or_none() -> None:
    assert ControlRule(kind="all").parameters is None
    assert ControlRule(kind="random", parameters=1).parameters == 1
    refused(ControlRule, "greater than", kind="random", parameters=0)


@pytest.mark.parametrize(
    "given",
    [
        {"components": ("blocks.3.mlp", "blocks.0.attn.head.2")},
        {"id": "m1"},
        {"localization": "r1", "rule": ONE},
        {"control": {"kind": "all_mlps"}},
    ],
)
def test_a_mask_has_one_source(given: dict[str, object]) -> None:
    dumped = MaskSpec.model_validate(given).model_dump(exclude_defaults=True)
    assert set(dumped) == set(given)


def test_a_mask_of_no_source_or_of_two_is_refused_with_what_it_gives() -> None:
    refused(MaskSpec, "gives nothing; expected exactly one of components, id, localization")
    refused(MaskSpec, "gives components and id; expected", components=("blocks.1.mlp",), id="m")
    control = {"kind": "all"}
    refused(MaskSpec, "localization and control", localization="r", rule=ONE, control=control)


def test_a_localization_goes_with_a_rule() -> None:
    refused(MaskSpec, "belong together", localization="r1")
    refused(MaskSpec, "belong together", id="m1", rule=ONE)


def test_components_are_named_and_there_is_one() -> None:
    refused(MaskSpec, "no component; expected at least one", components=())
    refused(MaskSpec, "'mlp3' is no component", components=("blocks.1.mlp", "mlp3"))
    refused(Mask, "at least 1", components=())


def test_a_resolved_mask_need_not_say_where_it_is_from() -> None:
    assert Mask(components=("blocks.1.mlp",)).model_dump() == {
        "components": ("blocks.1.mlp",),
        "n_parameters": None,
        "source": "",
    }

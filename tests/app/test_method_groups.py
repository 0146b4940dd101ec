"""The lists of methods: each stands once, in a group that says what it is for."""

import pytest

from app.experiment import USUAL
from app.method_groups import GROUPS, OTHERS, grouped
from worker.contract.menu import MethodInfo, MethodKind
from worker.core.registry import all_methods

KINDS: tuple[MethodKind, ...] = ("localization", "unlearning")


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_stands_in_a_group_and_the_recommended_one_first(kind: MethodKind) -> None:
    methods = [found.info for found in all_methods()]
    found = grouped(methods, kind)
    names = [name for _, choices in found for name, _ in choices]
    assert sorted(names) == sorted(one.name for one in methods if one.kind == kind)
    assert len(set(names)) == len(names)
    assert names[0] == USUAL[kind]
    assert OTHERS not in dict(found)


def test_a_plugins_method_stands_after_the_groups() -> None:
    own = MethodInfo(kind="unlearning", name="mine", title="Mine", summary="", options={})
    known = MethodInfo(kind="unlearning", name="rome", title="ROME", summary="", options={})
    assert grouped([own, known], "unlearning") == [
        (
            next(g for g, names in GROUPS["unlearning"].items() if "rome" in names),
            [("rome", "ROME")],
        ),
        (OTHERS, [("mine", "Mine")]),
    ]

"""What a class allows, and how its form's fields are read."""

from datetime import UTC, datetime
from typing import Any

import pytest

from worker.contract.classes import (
    Class,
    check_methods,
    days_of,
    guest_name,
    login_of,
    narrowed,
    refuse_beyond,
    seats_of,
)
from worker.contract.errors import Forbidden, UserError
from worker.contract.limits import Limits
from worker.contract.menu import Announcement, MethodInfo, ModelInfo
from worker.contract.people import person_name
from worker.contract.spec import parse_spec
from worker.engine.study.built_in import built_in_study

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = {"set": "s", "forget": "first:2"}
HELD = Class(
    id="c", title="Whales", project="p", made_by="max", model="demo", seats=3, limits=Limits(),
    methods=("localization/causal_tracing", "evaluation/probes"), created=NOW, taken=1,
)  # fmt: skip
LOCALIZE: dict[str, Any] = {"kind": "localize", "facts": FACTS, "method": "causal_tracing"}
EVALUATE: dict[str, Any] = {"kind": "evaluate", "facts": FACTS, "evaluations": ["probes"]}
EXPLORE: dict[str, Any] = {"kind": "explore", "view": "lens", "options": {"prompt": "x"}}


@pytest.mark.parametrize("spec", [LOCALIZE, EVALUATE, EXPLORE])
def test_what_a_class_allows_is_let_through_until_it_has_ended(spec: dict[str, Any]) -> None:
    refuse_beyond(HELD, parse_spec(spec))
    edited = {"model": {"base": "demo", "edits": ["0123456789ab"]}}
    refuse_beyond(HELD, parse_spec({**spec, **edited}))
    ended = HELD.model_copy(update={"ended": NOW})
    with pytest.raises(Forbidden, match="The class 'Whales' has ended"):
        refuse_beyond(ended, parse_spec(spec))


def test_what_a_class_does_not_allow_is_said_beside_its_field() -> None:
    wrong = {**EVALUATE, "model": "other", "evaluations": ["probes", "relearn", "relearn2"]}
    with pytest.raises(Forbidden) as refused:
        refuse_beyond(HELD, parse_spec(wrong))
    assert [field for field, _ in refused.value.problems] == ["model", "evaluations"]
    assert "expected 'demo'" in refused.value.message
    assert "expected one of probes" in refused.value.message
    with pytest.raises(Forbidden, match="expected 'demo'"):
        refuse_beyond(HELD, parse_spec({**EXPLORE, "model": "other"}))
    with pytest.raises(Forbidden, match="'patching' is not among"):
        refuse_beyond(HELD, parse_spec({**LOCALIZE, "method": "patching"}))


def test_what_is_heavy_is_for_people_with_accounts() -> None:
    export = {"kind": "export", "model": {"base": "demo", "edits": ["0123456789ab"]}}
    heavy = [parse_spec(export), parse_spec({"kind": "add", "model": "smollm2"})]
    for spec in (*heavy, built_in_study("paper_comparison")):
        with pytest.raises(Forbidden, match=f"cannot ask for '{spec.kind}'"):
            refuse_beyond(HELD, spec)


def test_a_guests_menu_has_what_the_class_allows() -> None:
    def method(kind: Any, name: str) -> MethodInfo:
        return MethodInfo(kind=kind, name=name, title=name, summary="", paper="", options={})

    methods = (
        method("localization", "causal_tracing"), method("localization", "patching"),
        method("evaluation", "probes"), method("unlearning", "npo"), method("explore", "lens"),
    )  # fmt: skip
    models = tuple(ModelInfo(id=id, title=id) for id in ("demo", "other"))
    menu = Announcement(methods=methods, models=models, device="cpu", versions={}, fact_sets=())
    found = narrowed(HELD, menu)
    assert [one.id for one in found.models] == ["demo"]
    assert [one.name for one in found.methods] == ["causal_tracing", "probes", "lens"]


@pytest.mark.parametrize(("typed", "seats"), [("1", 1), (" 30 ", 30), ("500", 500)])
def test_seats_are_counted(typed: str, seats: int) -> None:
    assert seats_of(typed) == seats
    assert HELD.left == 2 and HELD.model_copy(update={"taken": 9}).left == 0


@pytest.mark.parametrize("typed", ["0", "501", "", "x", "-1", "1.5"])
def test_no_number_of_seats_is_refused(typed: str) -> None:
    with pytest.raises(UserError, match="is no number of seats; expected 1 to 500"):
        seats_of(typed)


def test_a_link_holds_for_days() -> None:
    assert (days_of("7"), days_of("0.5"), days_of("365")) == (604800.0, 43200.0, 31536000.0)
    for typed in ("0", "366", "", "x", "-1", "1e2", "nan"):
        with pytest.raises(UserError, match="is no number of days"):
            days_of(typed)


def test_methods_are_known_and_in_their_order() -> None:
    assert check_methods(["b", "a", "b"], ["a", "b", "c"]) == ("a", "b")
    with pytest.raises(UserError, match="There is no method 'd'; expected some of a, b"):
        check_methods(["a", "d"], ["a", "b"])


@pytest.mark.parametrize(
    ("name", "login"),
    [("Anna B.", "anna-b-1f"), ("Jürgen", "jurgen-1f"), ("王", "guest-1f"), ("7up", "guest-7up-1f"),
     ("x" * 40, "x" * 24 + "-1f")],
)  # fmt: skip
def test_a_guest_keeps_the_name_and_has_one_of_the_servers(name: str, login: str) -> None:
    assert guest_name(f"  {name} ") == name
    assert login_of(name, "1f") == login == person_name(login)


@pytest.mark.parametrize("name", ["", "  ", "x" * 41, "a\x07b", "a\u202eb"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="is no name; expected 1 to 40 characters"):
        guest_name(name)

"""Classes as their teachers have them: seen, changed and ended by who owns the class's project."""

from typing import Any

import pytest

from tests.worker.store.several import RULES, as_, as_guest, make_run
from worker.contract.errors import Conflict, Forbidden, NotFound, UserError
from worker.contract.limits import Limits
from worker.store.runs import RunStore
from worker.store.store import Store
from worker.store.tables import Run

METHODS = ["localization/m"]


def test_a_class_is_seen_by_who_is_in_it_and_changed_by_who_teaches_it(people: Store) -> None:
    max_, mia, vera = (as_(people, name) for name in ("max", "mia", "vera"))
    held, secret = max_.make_class("Whales", "demo", METHODS, **RULES)
    assert held == max_.one_class(held.id) == as_(people, "ada").one_class(held.id)
    assert [one.title for one in max_.projects()] == ["Whales"]
    gus = as_guest(people, people.join(secret, "Gus").name)
    assert [one.name for one in gus.guests(held.id)] == ["Gus"]
    assert gus.classes() == max_.classes() and mia.classes() == vera.classes() == []
    max_.set_member(held.project, "vera", "member")
    changes: list[Any] = [
        lambda who: who.change_class(held.id, "other", [], seats=1, limits=Limits()),
        lambda who: who.renew_link(held.id, 60.0),
        lambda who: who.revoke_link(held.id),
        lambda who: who.remove_guest(held.id, gus.acting.person),
        lambda who: who.end_class(held.id),
    ]
    for change in changes:
        for who in (vera, gus):
            with pytest.raises(Forbidden, match="Only its teachers and admins"):
                change(who)
        with pytest.raises(NotFound, match="There is no class"):
            change(mia)
    assert vera.guests(held.id) == gus.guests(held.id) and mia.guests(held.id) == []
    assert max_.one_class(held.id).taken == 1
    assert max_.teaches(held.id) and not vera.teaches(held.id)
    max_.set_member(held.project, "vera", "owner")
    assert vera.teaches(held.id) and as_(people, "ada").teaches(held.id)
    for change in changes:
        change(vera)
    with pytest.raises(Conflict, match="'Whales' has ended; make another"):
        max_.renew_link(held.id, 60.0)


def test_a_class_needs_a_teacher_and_a_title(people: Store) -> None:
    with pytest.raises(NotFound, match="no person"):
        as_(people, "nobody").make_class("Whales", "demo", METHODS, **RULES)
    with pytest.raises(UserError, match="is no title for a class"):
        as_(people, "max").make_class(" ", "demo", METHODS, **RULES)
    assert people.classes() == [] and people.projects() == []


def test_other_rules_and_limits_are_in_force_for_guests_at_once(people: Store) -> None:
    max_ = as_(people, "max")
    held, secret = max_.make_class("Whales", "demo", METHODS, **RULES)
    person = people.join(secret, "Gus").name
    assert people.limits_of(person) == Limits(waiting=3)
    people.set_limits("", Limits(waiting=2, running=1))
    assert people.limits_of(person) == Limits(waiting=2, running=1), "no more than everybody"
    people.set_limits("", Limits(running=5))
    changed = max_.change_class(held.id, "other", [], seats=7, limits=Limits(running=2, storage=9))
    assert (changed.model, changed.methods, changed.seats) == ("other", (), 7)
    assert people.limits_of(person) == Limits(running=2, storage=9)
    max_.change_class(held.id, "other", [], seats=7, limits=Limits())
    assert people.limits_of(person) == Limits(running=5)


def test_who_is_let_go_frees_seat_and_name_and_leaves_what_they_made(people: Store) -> None:
    max_ = as_(people, "max")
    held, secret = max_.make_class("Whales", "demo", METHODS, **{**RULES, "seats": 1})
    person = people.join(secret, "Gus").name
    cookie = people.sign_in(person, 60, "here", "a browser")
    run = make_run(as_guest(people, person))
    with pytest.raises(NotFound, match="'mia' is no guest of the class"):
        max_.remove_guest(held.id, "mia")
    other, _ = max_.make_class("Other", "demo", METHODS, **RULES)
    with pytest.raises(NotFound, match="is no guest of the class 'Other'"):
        max_.remove_guest(other.id, person)
    assert people.signed_in(cookie) is not None
    max_.remove_guest(held.id, person)
    assert people.signed_in(cookie) is None
    assert max_.run(run).owner == person and max_.runs_of_guests(held.id) == {person: 1}
    with pytest.raises(Forbidden, match="let you go"):
        make_run(as_guest(people, person))
    again = people.join(secret, "Gus").name
    assert again != person
    assert [(one.person, one.is_out) for one in max_.guests(held.id)] == sorted(
        [(person, True), (again, False)]
    )


def test_a_class_that_ends_takes_everybody_and_everything_with_it(people: Store) -> None:
    max_ = as_(people, "max")
    held, secret = max_.make_class("Whales", "demo", METHODS, **RULES)
    person = people.join(secret, "Gus").name
    cookie = people.sign_in(person, 60, "here", "a browser")
    gus = as_guest(people, person)
    waits, done = make_run(gus), make_run(gus, 1)
    elsewhere = make_run(max_, 2)
    with people.database.write() as session:
        session.get_one(Run, done).state = "done"
    assert max_.end_class(held.id) == [waits]
    assert people.signed_in(cookie) is None and people.sign_ins(person) == []
    ended = max_.one_class(held.id)
    assert ended.ended is not None and ended.link_expires is None and ended.taken == 0
    assert max_.project(held.project).archived
    archived = {id: _is_archived(people, id) for id in (waits, done, elsewhere)}
    assert archived == {waits: True, done: True, elsewhere: False}
    with pytest.raises(Forbidden, match="has ended"):
        make_run(gus, 3)
    with pytest.raises(NotFound, match="does not hold"):
        people.join(secret, "Bo")
    assert max_.end_class(held.id) == [waits], "once more cancels what the first time did not"
    assert max_.one_class(held.id).ended == ended.ended


def _is_archived(store: RunStore, id: str) -> bool:
    return store.run(id).archived

"""Guests: who comes in by a link, what they may ask, and that they are no accounts."""

from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa

from tests.worker.store.several import RULES, as_, as_guest, make, make_run
from tests.worker.store.test_acting import SPEC
from worker.contract.errors import Conflict, Forbidden, NotFound, UserError
from worker.contract.spec import parse_spec
from worker.store.class_tables import ClassRow
from worker.store.guests import refuse_outside
from worker.store.store import Store

METHODS = [f"localization/{SPEC['method']}"]


def test_a_link_lets_in_as_many_as_there_are_seats(people: Store) -> None:
    held, secret = as_(people, "max").make_class("Whales", "demo", METHODS, **RULES)
    stranger = as_(people, "")
    assert stranger.class_of_link(secret).id == held.id
    with pytest.raises(UserError, match="is no name"):
        stranger.join(secret, " ")
    anna = stranger.join(secret, " Anna  B ")
    assert anna.role == "guest" and anna.name.startswith("anna-b-")
    assert people.lesson_readers() == {anna.name: "Anna B"}
    with pytest.raises(UserError, match="'anna b'; choose another"):
        stranger.join(secret, "anna b")
    stranger.join(secret, "Bo")
    with pytest.raises(Conflict, match="All 2 seats of the class 'Whales' are taken"):
        stranger.join(secret, "Cid")
    with pytest.raises(NotFound, match="does not hold"):
        stranger.join(f"{secret}x", "Cid")
    assert people.class_of_guest(anna.name).id == held.id
    with pytest.raises(NotFound, match="'max' is a guest of no class"):
        people.class_of_guest("max")


def test_of_many_who_join_at_once_as_many_come_in_as_there_are_seats(people: Store) -> None:
    held, secret = as_(people, "max").make_class("Whales", "demo", METHODS, **RULES)
    said: list[Any] = []

    def join(n: int) -> None:
        try:
            said.append(people.join(secret, f"Guest {n}").name)
        except Conflict as error:
            said.append(error)

    threads = [Thread(target=join, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(isinstance(one, str) for one in said) == [False] * 4 + [True] * 2
    assert people.one_class(held.id).taken == 2


def test_a_link_that_was_revoked_renewed_or_has_expired_does_not_hold(people: Store) -> None:
    max_ = as_(people, "max")
    held, first = max_.make_class("Whales", "demo", METHODS, **RULES)
    second = max_.renew_link(held.id, 60.0)
    assert people.class_of_link(second).id == held.id
    max_.revoke_link(held.id)
    third = max_.renew_link(held.id, 60.0)
    with people.database.write() as session:
        session.execute(sa.update(ClassRow).values(link_expires=1.0))
    for secret in (first, second, third, ""):
        for ask in (people.class_of_link, lambda secret: people.join(secret, "Gus")):
            with pytest.raises(NotFound, match="revoked or renewed, has expired, or the class"):
                ask(secret)


def test_a_guest_sees_the_class_alone_and_makes_everything_in_it(people: Store) -> None:
    max_ = as_(people, "max")
    held, secret = max_.make_class("Whales", "demo", METHODS, **RULES)
    gus = as_guest(people, people.join(secret, "Gus").name)
    hidden = make(max_, "of-max")["run"]
    for seen in ("server", "private"):
        max_.share("run", hidden, seen)
        with pytest.raises(NotFound):
            gus.run(hidden)
    max_.share("run", hidden, "project", held.project)
    assert gus.run(hidden).id == hidden
    mine = make_run(gus)
    assert (max_.run(mine).project, max_.run(mine).visibility) == (held.project, "project")
    parent = make_run(as_(people, "max", ""), 5)
    assert max_.run(parent).visibility == "private"
    for change in (
        lambda: gus.update_run(mine, starred=True),
        lambda: gus.delete_run(mine),
    ):
        with pytest.raises(Forbidden, match="a guest changes no run"):
            change()
    max_.change_project(held.project, archived=True)
    with pytest.raises(Forbidden, match="archived"):
        make_run(gus)


def test_who_leaves_frees_seat_and_name_and_an_account_is_left_alone(people: Store) -> None:
    held, secret = as_(people, "max").make_class("Whales", "demo", METHODS, **RULES)
    person = people.join(secret, "Gus").name
    cookie, other = (people.sign_in(one, 60, "here", "a browser") for one in (person, "max"))
    for one in (person, "max"):
        as_guest(people, one).leave_class(one)
    assert people.signed_in(cookie) is None and people.signed_in(other) is not None
    assert people.one_class(held.id).taken == 0
    assert people.join(secret, "Gus").name != person


def test_a_guest_is_no_account(people: Store) -> None:
    held, secret = as_(people, "max").make_class("Whales", "demo", METHODS, **RULES)
    person = people.join(secret, "Gus").name
    assert person not in {one.name for one in people.people()}
    assert people.check_password(person, f"guest:{held.id}") is None
    for become in (
        lambda: people.set_role(person, "member"),
        lambda: people.set_password(person, "a river of forgetting"),
        lambda: people.set_disabled(person, False),
        lambda: people.make_token(person, "t", 60.0),
        lambda: people.link(person, "oidc:x"),
    ):
        with pytest.raises(Conflict, match="is a guest of a class and has no account"):
            become()
    project = as_(people, "mia").make_project("P")
    with pytest.raises(NotFound, match="no person"):
        as_(people, "mia").set_member(project.id, person, "member")


def test_what_a_guest_may_ask_is_the_class_as_it_is(people: Store) -> None:
    max_ = as_(people, "max")
    held, secret = max_.make_class("Whales", "demo", METHODS, **RULES)
    person = people.join(secret, "Gus").name
    gus, spec = as_guest(people, person), parse_spec(SPEC)
    gus.refuse_outside_class(spec)
    max_.refuse_outside_class(parse_spec({**SPEC, "model": "other"}))
    with pytest.raises(Forbidden, match="expected 'demo'"):
        gus.refuse_outside_class(parse_spec({**SPEC, "model": "other"}))
    max_.change_class(held.id, "demo", [], seats=1, limits=held.limits)
    with pytest.raises(Forbidden, match="expected none of its kind"):
        gus.refuse_outside_class(spec)
    max_.end_class(held.id)
    with people.database.write() as session:
        with pytest.raises(Forbidden, match="has ended"):
            refuse_outside(session, person, spec, is_submitted=True)
        with pytest.raises(Forbidden, match="a guest of no class"):
            refuse_outside(session, "mia", spec)

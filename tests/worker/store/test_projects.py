"""Projects and their members: an owner is kept, and an archived one takes nothing in."""

import pytest

from tests.worker.store.several import as_, make_run
from worker.contract.errors import Conflict, Forbidden, NotFound
from worker.store.store import Store


def test_a_project_keeps_an_owner_and_takes_nothing_while_archived(people: Store) -> None:
    max_ = as_(people, "max")
    project = max_.make_project("P")
    for lose in (
        lambda: max_.remove_member(project.id, "max"),
        lambda: max_.set_member(project.id, "max", "member"),
    ):
        with pytest.raises(Conflict, match="only owner"):
            lose()
    max_.set_member(project.id, "Mia", "owner")
    max_.remove_member(project.id, "max")
    assert max_.projects() == []
    mia = as_(people, "mia", project.id)
    assert [one.title for one in mia.projects_to_add_to()] == ["P"]
    mia.change_project(project.id, title="Q", archived=True)
    assert [(one.title, one.archived) for one in mia.projects()] == [("Q", True)]
    assert mia.projects_to_add_to() == []
    with pytest.raises(Forbidden, match="archived"):
        make_run(mia)
    with pytest.raises(NotFound, match="no person 'nobody'"):
        mia.set_member(project.id, "nobody", "member")
    with pytest.raises(NotFound, match="no project"):
        make_run(as_(people, "max", project.id))


def test_only_owners_and_admins_change_a_project_and_members_leave_by_themselves(
    people: Store,
) -> None:
    max_, mia = as_(people, "max"), as_(people, "mia")
    project, other = max_.make_project("P"), max_.make_project("Other")
    max_.set_member(project.id, "mia", "member")
    for change in (
        lambda: mia.change_project(project.id, title="Q"),
        lambda: mia.set_member(project.id, "vera", "viewer"),
        lambda: mia.remove_member(project.id, "max"),
    ):
        with pytest.raises(Forbidden, match=r"Only its owners and admins.*you are a member of it"):
            change()
    assert as_(people, "ada").change_project(project.id, title="Q").title == "Q"
    found = max_.project(project.id)
    assert [(one.person, one.role) for one in found.members] == [
        ("max", "owner"),
        ("mia", "member"),
    ]
    assert [one.person for one in max_.project(other.id).members] == ["max"]
    mia.remove_member(project.id, "mia")
    assert mia.projects() == []
    with pytest.raises(NotFound, match="'mia' is no member of the project 'Q'"):
        max_.remove_member(project.id, "mia")
    with pytest.raises(NotFound, match="no person 'nobody'"):
        max_.make_project("R", owner="nobody")

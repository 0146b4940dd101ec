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

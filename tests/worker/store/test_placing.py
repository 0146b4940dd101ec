"""Into which project something goes that is made, and who sees it at first."""

import pytest

from tests.worker.store.several import as_, make, make_run
from tests.worker.store.test_acting import FACTS
from worker.contract.errors import UserError
from worker.contract.facts import FactSet
from worker.store.store import Store


def test_what_is_made_of_a_projects_runs_goes_there_unless_asked_otherwise(people: Store) -> None:
    project = as_(people, "max").make_project("P")
    first = make_run(as_(people, "max", project.id))
    alone = make_run(as_(people, "max"))
    follow = {
        None: (make_run(as_(people, "max"), 1, (first,)), project.id, "project"),
        "": (make_run(as_(people, "max", ""), 2, (first,)), "", "private"),
        "both": (make_run(as_(people, "max"), 3, (first, alone)), "", "private"),
    }
    for id, where, visibility in follow.values():
        found = people.run(id)
        assert (found.project, found.visibility) == (where, visibility)
    with pytest.raises(UserError, match="no run"):
        make_run(as_(people, "mia"), 4, (alone,))


def test_a_set_that_is_stored_again_is_seen_as_before(people: Store) -> None:
    max_ = as_(people, "max")
    make(max_, "own")
    max_.share("fact set", "own", "server")
    again = max_.save_fact_set(FactSet(name="own", facts=FACTS[:1]))
    assert again.visibility == "server"

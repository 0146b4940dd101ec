"""What a person and a project take with their runs, whoever looks."""

from tests.worker.store.several import as_, make_run
from worker.store.store import Store
from worker.store.taking import Taker, computed, takers_of, used


def test_a_run_is_its_owners_and_its_projects_as_far_as_it_has_them() -> None:
    person, project = Taker("person", "max"), Taker("project", "a1")
    assert takers_of("max", "a1") == (person, project)
    assert (takers_of("max", ""), takers_of("", "a1"), takers_of("", "")) == (
        (person,),
        (project,),
        (),
    )


def test_what_is_taken_is_counted_also_where_others_may_not_see_it(people: Store) -> None:
    sports = people.make_project("Sports", "max").id
    make_run(as_(people, "max", sports))
    make_run(as_(people, "max"))
    for reader in (people, as_(people, "mia")):
        with reader.database.read() as session:
            found = {taker.kind: used(session, taker) for taker in takers_of("max", sports)}
            assert computed(session, Taker("person", "max")) == 0
        assert (found["person"].waiting, found["project"].waiting) == (2, 1)
        assert found["person"].storage == 0 and found["person"].device_seconds == 0.0

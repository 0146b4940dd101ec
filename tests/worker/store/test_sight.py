"""What a store that acts for somebody sees: their own, their projects', the server's, no more."""

import pytest

from tests.worker.store.several import all_of, as_, make, make_run
from tests.worker.store.test_acting import FACTS
from tests.worker.store.test_masks import MASK
from worker.contract.errors import Conflict, Forbidden, NotFound, UserError
from worker.contract.facts import FactSet
from worker.contract.visitors import Visit
from worker.store import sight
from worker.store.acting import Acting
from worker.store.attempts import end_run
from worker.store.fact_tables import FactSetRow
from worker.store.sharing import Made
from worker.store.store import Store


def seen(store: Store) -> set[str]:
    """What of all that lists, counts and look-ups find, which has to be the same."""
    runs = store.runs(archived=None)
    ids = {one.id for one in runs}
    assert store.count_runs() == len(ids) == len(store.runs_page(limit=50, counted=100).runs)
    assert ids == {one.id for one in store.runs(tag="t")} | {one.id for one in runs if not one.tags}
    assert ids == {one.id for one in store.runs(search="demo")}
    sets, texts = {one.name for one in store.fact_sets()}, {one.name for one in store.texts()}
    masks, circuits = {one.id for one in store.masks()}, {one.name for one in store.circuits()}
    return {
        *(f"run {id}" for id in ids),
        *(f"fact set {name}" for name in sets),
        *(f"mask {id}" for id in masks),
        *(f"text {name}" for name in texts),
        *(f"circuit {name}" for name in circuits),
    }


def assert_hidden(store: Store, made: dict[Made, str]) -> None:
    """Each way to one thing by its id or name says that there is no such thing."""
    run_id, facts, text = made["run"], made["fact set"], made["text"]
    ways = (
        lambda: store.run(run_id),
        lambda: store.result(run_id),
        lambda: store.log(run_id),
        lambda: store.events(run_id),
        lambda: store.update_run(run_id, title="x"),
        lambda: store.delete_run(run_id),
        lambda: store.fact_set(facts),
        lambda: store.fact_set_hash(facts),
        lambda: store.bare_fact_set(facts),
        lambda: store.facts_page(facts),
        lambda: store.save_split(facts, "x", ["f1"]),
        lambda: store.delete_fact_set(facts),
        lambda: store.mask(made["mask"]),
        lambda: store.delete_mask(made["mask"]),
        lambda: store.text_info(text),
        lambda: store.text(text),
        lambda: store.delete_text(text),
        lambda: store.circuit(made["circuit"]),
        lambda: store.delete_circuit(made["circuit"]),
        *(lambda what=what: store.share(what, made[what], "server") for what in made),
    )
    for way in ways:
        with pytest.raises(NotFound) as refused:
            way()
        assert "max" not in refused.value.message
    assert store.children(run_id) == [] and store.event_counts([run_id]) == {}
    assert store.receipts([run_id]) == {} and store.split_sizes(facts) == {}


def test_what_is_made_is_private_until_its_owner_shares_it(people: Store) -> None:
    max_, mia, nobody = (as_(people, name) for name in ("max", "mia", ""))
    made = make(max_, "own")
    assert seen(max_) == seen(as_(people, "ada")) == seen(people) == all_of(made)
    assert seen(mia) == seen(nobody) == set()
    assert_hidden(mia, made)
    assert_hidden(nobody, made)
    for what, id in made.items():
        max_.share(what, id, "server")
    assert seen(mia) == all_of(made) and seen(nobody) == set()
    with pytest.raises(Forbidden, match="max's"):
        mia.share("run", made["run"], "private")
    for what, id in made.items():
        max_.share(what, id, "private")
    assert_hidden(mia, made)


def test_a_project_is_seen_by_its_members_as_long_as_they_are(people: Store) -> None:
    project = as_(people, "max").make_project("Sports  facts")
    assert project.title == "Sports facts"
    made = make(as_(people, "max", project.id), "shared")
    mia = as_(people, "mia")
    assert_hidden(mia, made)
    assert mia.projects() == []
    with pytest.raises(NotFound):
        mia.project(project.id)
    as_(people, "max").set_member(project.id, "mia", "viewer")
    assert seen(mia) == all_of(made)
    assert [one.id for one in mia.projects()] == [project.id]
    with pytest.raises(Forbidden, match="viewer of the project"):
        make_run(as_(people, "mia", project.id))
    as_(people, "max").set_member(project.id, "mia", "member")
    own = make_run(as_(people, "mia", project.id))
    assert {one.id for one in as_(people, "max").runs()} == {made["run"], own}
    with pytest.raises(Forbidden, match="Only its owners"):
        mia.set_member(project.id, "vera", "member")
    mia.remove_member(project.id, "mia")
    assert seen(mia) == {f"run {own}"}
    assert_hidden(mia, made)
    assert own in {one.id for one in as_(people, "max").runs()}


def test_an_heir_that_may_not_be_seen_holds_a_run_and_is_not_named(people: Store) -> None:
    parent = make_run(as_(people, "max"))
    people.share("run", parent, "server")
    heir = make_run(as_(people, "mia"), 1, (parent,))
    with people.database.write() as session:
        end_run(session, parent, "done", "")
    with pytest.raises(Conflict, match="another run was made from it") as refused:
        as_(people, "max").delete_run(parent)
    assert heir not in refused.value.message


def test_lineage_names_no_run_that_may_not_be_seen(people: Store) -> None:
    max_, mia = as_(people, "max"), as_(people, "mia")
    parent = make_run(max_)
    child = make_run(max_, 1, (parent,))
    max_.share("run", child, "server")
    assert max_.run(child).parents == (parent,)
    assert mia.run(child).parents == ()
    max_.share("run", parent, "server")
    max_.share("run", child, "private")
    assert mia.children(parent) == [] and [one.id for one in max_.children(parent)] == [child]


def test_a_name_that_is_taken_tells_nothing_of_what_has_it(people: Store) -> None:
    make(as_(people, "max"), "own")
    mia = as_(people, "mia")
    with pytest.raises(UserError, match="The name 'own' is taken") as refused:
        mia.save_fact_set(FactSet(name="own", facts=FACTS[:1]))
    assert "max" not in refused.value.message
    assert len(people.fact_set("own").facts) == len(FACTS)
    with pytest.raises(UserError, match="already"):
        mia.save_text("own", "Another text.")
    with pytest.raises(UserError, match="already"):
        mia.save_circuit("own", "x=2")
    assert mia.save_mask("m", "demo", MASK).version == 1
    same = mia.save_text("other", "A text.")
    as_(people, "max").delete_text("own")
    assert mia.text(same.name) == "A text."


def test_places_in_the_queue_count_what_is_hidden(people: Store) -> None:
    make_run(as_(people, "max"))
    mine = make_run(as_(people, "mia"))
    assert as_(people, "mia").run(mine).ahead == people.run(mine).ahead
    assert people.run(mine).ahead == 1


def test_what_a_person_may_see_is_put_into_words_once_for_all_their_requests(
    people: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(as_(people, "max"))
    made: list[object] = []
    make = sight.with_loader_criteria

    def counted(entity: object, *rest: object, **options: object) -> object:
        made.append(entity)
        return make(entity, *rest, **options)

    monkeypatch.setattr(sight, "with_loader_criteria", counted)
    sight.sight_of.cache_clear()
    before = len(as_(people, "max").runs())
    n_first = len(made)
    for _ in range(3):
        assert len(as_(people, "max").runs()) == before == 1
    assert 0 < n_first == len(made) == len(set(made)), "each once"
    assert FactSetRow not in made, "and those alone that a statement named"
    assert not as_(people, "mia").runs(), "another person's are others"


def test_who_has_no_account_sees_what_is_shared_with_anybody_and_a_visitor_where_that_is_allowed(
    people: Store,
) -> None:
    made = make(as_(people, "max", may_open=True), "own")
    shipped = make_run(people)
    for what, id in made.items():
        as_(people, "max", may_open=True).share(what, id, "anybody")
    assert seen(as_(people, "")) == all_of(made)
    visit = Visit(("demo",), (shipped,))
    for may_open, others in ((True, all_of(made)), (False, set())):
        visitor = people.acting_for(Acting("", may_all=False, may_open=may_open, visit=visit))
        assert seen(visitor) == others | {f"run {shipped}"}


def test_the_sets_that_ship_are_everybodys(people: Store) -> None:
    people.save_fact_set(FactSet(name="shipped", facts=FACTS), bundled=True)
    for person in ("mia", ""):
        assert {one.name for one in as_(people, person).fact_sets()} == {"shipped"}
        assert as_(people, person).fact_set("shipped").facts

"""Pages of runs by their places, and what reading them looks through."""

import re
from typing import Any

import pytest
import sqlalchemy as sa

from tests.worker.store.test_runs import add
from worker.contract.errors import UserError
from worker.store.listing import newest_first
from worker.store.paging import Place, RunsPage, read_place
from worker.store.store import Store
from worker.store.tables import Run


def ids_of(page: RunsPage) -> list[str]:
    return [run.id for run in page.runs]


def read(store: Store, limit: int = 2, counted: int = 9, **asked: Any) -> RunsPage:
    return store.runs_page(limit=limit, counted=counted, **asked)


@pytest.mark.parametrize("archived", [False, None])
def test_pages_go_through_all_runs_forth_and_back(store: Store, archived: bool | None) -> None:
    ids = [add(store) for _ in range(5)][::-1]
    if archived is None:
        store.update_run(ids[3], archived=True)
    first = read(store, archived=archived)
    second = read(store, after=first.places[-1], archived=archived)
    third = read(store, after=second.places[-1], archived=archived)
    assert [ids_of(page) for page in (first, second, third)] == [ids[:2], ids[2:4], ids[4:]]
    assert [page.n for page in (first, second, third)] == [5, 3, 1]
    assert [page.begins for page in (first, second, third)] == [True, False, False]
    back = read(store, before=third.places[0], archived=archived)
    assert (ids_of(back), back.n, back.begins) == (ids[2:4], 3, False)
    assert read(store, before=back.places[0], archived=archived).runs == first.runs


def test_a_page_before_which_less_than_a_page_is_left_is_the_first(store: Store) -> None:
    ids = [add(store) for _ in range(4)][::-1]
    page = read(store, before=read(store, limit=4).places[1])
    assert (ids_of(page), page.n, page.begins) == (ids[:2], 4, True)


def test_runs_of_one_moment_are_told_apart_by_their_ids(store: Store) -> None:
    ids = sorted((add(store) for _ in range(5)), reverse=True)
    with store.database.write() as session:
        session.execute(sa.text("UPDATE runs SET created = 1750000000.1234567"))
    first = read(store)
    assert ids_of(first) == ids[:2]
    place = read_place(str(first.places[-1]), "after")
    assert ids_of(read(store, after=place)) == ids[2:4]


def test_a_place_stays_when_its_run_is_deleted(store: Store) -> None:
    ids = [add(store) for _ in range(3)][::-1]
    place = read(store, limit=1).places[0]
    store.request_cancel(ids[0], sa.false())
    store.delete_run(ids[0])
    assert ids_of(read(store, after=place)) == ids[1:]
    assert ids_of(read(store, before=Place(0.0, ""))) == ids[1:]


def test_no_more_than_asked_are_counted(store: Store) -> None:
    for _ in range(4):
        add(store)
    assert [read(store, counted=n).n for n in (1, 3, 4, 9)] == [2, 4, 4, 4]


@pytest.mark.parametrize("text", ["", "x", "nothing-id", "17,5-id"])
def test_what_is_no_place_is_refused_in_words(text: str) -> None:
    with pytest.raises(UserError, match=f"after is {text!r}.*expected the place"):
        read_place(text, "after")


@pytest.mark.parametrize(
    "which",
    [
        {},
        {"archived": None},
        {"archived": True},
        {"kind": "localize"},
        {"state": "done"},
        {"kind": "localize", "state": "done"},
        {"model": "demo"},
        {"owner": "ann"},
        {"starred": True},
        {"search": "words"},
        {"search": "words", "kind": "localize", "state": "done", "model": "demo"},
        {"search": "words", "archived": None, "owner": "ann"},
    ],
    ids=str,
)
def test_a_page_is_read_from_an_index_in_its_order(store: Store, which: Any) -> None:
    """Neither are rows read nor is more than a page sorted, wherever a page begins."""
    if not store.database.is_sqlite:
        assert _indexes(store) >= {"runs_listed", "runs_of_kind", "runs_trigrams"}
        return
    key = sa.tuple_(Run.created, Run.id) < sa.tuple_(1.5, "a")
    query = newest_first(which, 31, key).compile(
        store.database.reader, compile_kwargs={"literal_binds": True}
    )
    with store.database.reader.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
    both = which.get("archived", False) is None
    steps = [step for *_, step in plan if step.startswith(("SEARCH", "SCAN runs", "USE"))]
    assert steps.count("USE TEMP B-TREE FOR ORDER BY") == 2 * both, "the pages of both, again"
    steps = [step for step in steps if not step.startswith("USE")]
    assert len(steps) == 1 + both
    for step in steps:
        assert re.search(r"^SEARCH runs USING COVERING INDEX \w+ .*created,id\)<", step), step


def _indexes(store: Store) -> set[str]:
    return {str(index["name"]) for index in sa.inspect(store.engine).get_indexes("runs")}

"""`lethe project …`, in this process, on a data folder of the test's own."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.worker.cli.conftest import Call
from worker.contract.settings import Settings
from worker.store.people_tables import PersonRow
from worker.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Settings(data=tmp_path))
    with opened.database.write() as session:
        for name in ("max", "mia"):
            made = {"password": "x", "role": "member", "disabled": False, "created": 1.0}
            session.add(PersonRow(name=name, **made))
    yield opened
    opened.close()


@pytest.fixture
def project(store: Store, lethe: Call) -> Call:
    return partial(lethe, "project")


def test_a_project_is_managed_without_the_web(project: Call, store: Store) -> None:
    code, said, _ = project("make", "Sports", "--owner", "max")
    id = said.split()[0]
    assert code == 0 and said == f"{id}  Sports  max (owner)\n"
    assert project("add", id, "mia")[:2] == (0, "Sports: max (owner), mia (member)\n")
    assert project("add", id, "mia", "--role", "viewer")[1].endswith("mia (viewer)\n")
    assert project("rename", id, "Games")[:2] == (0, f"{id} is Games\n")
    assert project("archive", id)[:2] == (0, "Games is archived\n")
    listed = project("list")[1]
    assert listed == f"{id}  Games  archived  max (owner), mia (viewer)\n"
    assert project("archive", id, "--undo")[:2] == (0, "Games is in use\n")
    assert project("remove", id, "mia")[:2] == (0, "Games: max (owner)\n")
    notes = [(one.what, one.about) for one in store.audit()]
    assert notes[0] == ("changed a project's members", f"project {id} (Games): mia out")
    assert len(notes) == 7


def test_what_cannot_be_is_said_in_words(project: Call) -> None:
    id = project("make", "P", "--owner", "max")[1].split()[0]
    for asked, words in (
        (("remove", id, "max"), "only owner"),
        (("add", id, "who"), "no person 'who'"),
        (("add", "nothing", "mia"), "no project 'nothing'"),
        (("make", " ", "--owner", "max"), "no title"),
        (("make", "Q", "--owner", "who"), "no person"),
    ):
        code, _, error = project(*asked)
        assert code != 0 and words in " ".join(error.split()), (asked, error)

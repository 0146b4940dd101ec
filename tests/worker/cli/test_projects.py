"""`lethe project …`, in this process, on a data folder of the test's own."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.worker.cli.conftest import Call
from worker.contract.limits import Limits
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


def test_limits_of_projects_are_set_and_let_go_and_said_beside_what_is_taken(
    project: Call, store: Store
) -> None:
    id = store.make_project("Sports", "max").id
    assert project("limit", "--waiting", "20", "--daily", "4h")[:2] == (
        0,
        "every project: 20 waiting, 4h a day\n"
        f"{id}  Sports: 20 waiting, 4h a day; now 0 waiting, 0 at once, 0s today, 0KB of files\n",
    )
    said = project("limit", id, "--storage", "20GB")[1]
    assert f"{id}  Sports: 20 waiting, 4h a day, 20GB of files" in said
    entry = store.audit()[0]
    assert (entry.what, entry.about) == ("set limits", f"project {id} (Sports): 20GB of files")
    project("limit", "--waiting", "")
    assert store.limits_of("", id) == Limits(device_seconds=4 * 3600.0, storage=20 * 10**9)
    assert project("limit", "nothing", "--waiting", "1")[0] == 2

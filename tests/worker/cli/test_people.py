"""`lethe user …`, in this process, on a data folder of the test's own."""

import getpass
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.cli.conftest import Call
from worker.contract.limits import Limits
from worker.contract.settings import settings
from worker.store.store import Store

GOOD = "a river of forgetting"


@pytest.fixture
def user(lethe: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    def call(*arguments: str, password: str = f"{GOOD}\n") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(password))
        return lethe("user", *arguments)

    return call


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    from worker.contract.settings import Settings

    opened = Store.open(Settings(data=tmp_path))
    yield opened
    opened.close()


def test_the_first_admin_and_everybody_else_can_be_managed_without_the_web(
    user: Call, store: Store
) -> None:
    assert user("add", "Ada", "--role", "admin", "--password-stdin")[:2] == (
        0,
        "ada may sign in as admin\n",
    )
    assert store.check_password("ada", GOOD) is not None
    user("add", "bob", "--password-stdin")
    assert user("role", "bob", "viewer")[1] == "bob is viewer\n"
    secret = store.sign_in("bob", 60, "", "")
    assert (
        "signed out everywhere" in user("reset", "bob", "--password-stdin", password="x" + GOOD)[1]
    )
    assert store.signed_in(secret) is None
    assert store.check_password("bob", f"x{GOOD}") is not None
    user("disable", "bob")
    listed = user("list")[1].splitlines()
    assert [line.split("  ")[:3] for line in listed] == [
        ["ada", "admin", "active"],
        ["bob", "viewer", "disabled"],
    ]
    user("disable", "bob", "--undo")
    assert not store.person("bob").disabled
    log = [(entry.what, entry.about) for entry in store.audit()]
    assert log[0] == ("let a person in again", "bob")
    assert log[-1] == ("added a person", "ada as admin")
    assert {entry.address for entry in store.audit()} == {f"command line of {getpass.getuser()}"}


def test_an_invitation_is_a_link_to_the_public_address(
    user: Call, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_PUBLIC_URL", "https://lethe.example.org/")
    settings.cache_clear()
    code, link, _ = user("invite", "--role", "viewer", "--days", "1")
    assert code == 0 and link.startswith("https://lethe.example.org/invitation/")
    assert store.invitation(link.strip().rpartition("/")[2]).role == "viewer"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "ada", "--role", "owner", "--password-stdin"), "'owner'"),
        (("add", "A B", "--password-stdin"), "no name for a person"),
        (("role", "nobody", "admin"), "nobody"),
        (("disable", "nobody"), "nobody"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    user: Call, store: Store, arguments: tuple[str, ...], words: str
) -> None:
    code, _, said = user(*arguments)
    assert code == 2 and words in said
    assert store.people() == [] and store.audit() == []


def test_passwords_that_are_typed_must_agree(
    user: Call, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter([GOOD, f"{GOOD}!", GOOD, GOOD])
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(typed))
    assert "differ" in user("add", "ada")[2] and store.people() == []
    assert user("add", "ada")[0] == 0 and len(store.people()) == 1


def test_limits_are_set_and_let_go_and_said_beside_what_is_taken(user: Call, store: Store) -> None:
    user("add", "bo", "--password-stdin")
    code, said, _ = user("limit", "--waiting", "20", "--daily", "4h")
    assert code == 0
    assert said == (
        "everybody but admins: 20 waiting, 4h a day\n"
        "bo: 20 waiting, 4h a day; now 0 waiting, 0 at once, 0s today, 0KB of files\n"
    )
    user("limit", "bo", "--storage", "20GB")
    user("limit", "--waiting", "")
    assert store.limits_of("bo") == Limits(device_seconds=4 * 3600.0, storage=20 * 10**9)
    code, _, error = user("limit", "bo", "--running", "none")
    assert code == 2 and "'none' is no number of runs" in error
    entry = store.audit()[0]
    assert (entry.what, entry.about) == ("set limits", "everybody: 4h a day")
    assert user("limit", "nobody", "--waiting", "1")[0] == 2

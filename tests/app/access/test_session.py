import time
from pathlib import Path

import pytest

from app.access import session
from app.access.attempts import FREE
from app.access.session import Identity, Sessions
from worker.contract.settings import Settings


def test_what_is_sealed_for_the_way_to_a_provider_is_read_here_alone(tmp_path: Path) -> None:
    here = Sessions(Settings(data=tmp_path / "here"))
    sealed = here.seal([{"state": 1}, {"next": "/"}])
    assert here.unseal(sealed, 60) == [{"state": 1}, {"next": "/"}]
    assert here.unseal(sealed, -1) is None and here.unseal(sealed + "x", 60) is None
    assert Sessions(Settings(data=tmp_path / "there")).unseal(sealed, 60) is None
    # One kind of cookie is not taken for the other.
    assert here.unseal(here.issue(Identity()), 60) is None and here.read(sealed) is None


def test_a_restarted_server_knows_its_readers(tmp_path: Path) -> None:
    cookie = Sessions(Settings(data=tmp_path)).issue(Identity())
    restarted = Sessions(Settings(data=tmp_path))
    assert restarted.read(cookie) is not None
    assert restarted.token != Sessions(Settings(data=tmp_path)).token


def test_a_new_fixed_token_signs_everybody_out(tmp_path: Path) -> None:
    cookie = Sessions(Settings(data=tmp_path, token="one")).issue(Identity())
    assert Sessions(Settings(data=tmp_path, token="one")).read(cookie) is not None
    assert Sessions(Settings(data=tmp_path, token="two")).read(cookie) is None


def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    Sessions(Settings(data=tmp_path))
    assert (tmp_path / "session.key").stat().st_mode & 0o777 == 0o600


def test_a_session_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(Settings(data=tmp_path))
    monkeypatch.setattr(session, "LASTS", -1)
    assert sessions.read(sessions.issue(Identity())) is None


def test_each_session_has_its_own_form_token(tmp_path: Path) -> None:
    sessions = Sessions(Settings(data=tmp_path))
    one, two = (sessions.read(sessions.issue(Identity("a.b"))) for _ in range(2))
    assert one is not None and two is not None
    assert one.identity == Identity("a.b")
    assert sessions.csrf(one) != sessions.csrf(two)
    assert sessions.csrf(one) != sessions.csrf(one), "compressed pages tell nothing of it"


def test_a_key_that_is_not_whole_signs_nothing(tmp_path: Path) -> None:
    """A full disk leaves an empty file: cookies that are signed with nothing could be made."""
    (tmp_path / "session.key").write_bytes(b"")
    known = Sessions(Settings(data=tmp_path)).issue(Identity("root"))
    (tmp_path / "session.key").write_bytes(b"")
    assert Sessions(Settings(data=tmp_path)).read(known) is None
    assert len((tmp_path / "session.key").read_bytes()) == 32


def test_what_was_changed_in_a_cookie_makes_it_none(tmp_path: Path) -> None:
    sessions = Sessions(Settings(data=tmp_path))
    cookie = sessions.issue(Identity())
    claims, _, rest = cookie.partition(".")
    for wrong in (f"{claims}x.{rest}", f"x{cookie}", cookie[:-1], f"{claims}..{rest}", "é" * 9):
        assert sessions.read(wrong) is None
    found = sessions.read(cookie)
    assert found is not None and found.until - time.time() == pytest.approx(session.LASTS, abs=60)


def test_a_form_is_of_one_session_alone(tmp_path: Path) -> None:
    sessions = Sessions(Settings(data=tmp_path))
    one, two = (sessions.read(sessions.issue(Identity())) for _ in range(2))
    assert one is not None and two is not None
    assert sessions.is_form_of(one, sessions.csrf(one))
    for given in (sessions.csrf(two), "", "é", sessions.csrf(one)[:-1]):
        assert not sessions.is_form_of(one, given)


def test_a_token_is_right_wrong_or_not_looked_at(tmp_path: Path) -> None:
    sessions = Sessions(Settings(data=tmp_path, token="the token"))
    assert sessions.try_token("the token", "10.0.0.1") == 0.0
    assert [sessions.try_token("wrong", "10.0.0.1") for _ in range(FREE)] == [None] * FREE
    wait = sessions.try_token("the token", "10.0.0.1")
    assert wait is not None and 0 < wait <= 1
    assert sessions.try_token("the token", "10.0.0.2") == 0.0


def test_what_is_sealed_for_one_use_is_read_as_nothing_else(settings: Settings) -> None:
    sessions = Sessions(settings)
    sealed = sessions.seal(["kept"], "lessons")
    assert sessions.unseal(sealed, 60, "lessons") == ["kept"]
    assert sessions.unseal(sealed, 60) is None and sessions.read(sealed) is None

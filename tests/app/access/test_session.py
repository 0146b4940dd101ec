from pathlib import Path

import pytest

from app.access import session
from app.access.session import Identity, Sessions
from worker.contract.settings import Settings


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

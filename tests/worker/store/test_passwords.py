import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.store import passwords


def test_a_hash_opens_by_its_password_alone_and_nobodys_by_none() -> None:
    kept, again = passwords.hashed("a river"), passwords.hashed("a river")
    assert kept != again and kept.startswith("$argon2id$")
    assert passwords.is_right("a river", kept) and passwords.is_right("a river", again)
    assert not passwords.is_right("a River", kept)
    assert not passwords.is_right("", None)
    half = "half of a pair: \ud83d"
    assert passwords.is_right(half, passwords.hashed(half)), "what no UTF-8 has is no error"
    assert not passwords.is_stale(kept)
    assert passwords.is_stale(passwords.PasswordHasher(time_cost=1).hash("a river"))


def test_no_more_are_computed_at_once_than_the_memory_is_meant_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = threading.Barrier(passwords.AT_ONCE, timeout=60)
    inside: list[str] = []
    seen: list[int] = []

    class Counted:
        """Lets a hash end when as many are computed as may be."""

        def hash(self, password: bytes) -> str:
            inside.append("")
            together.wait()
            seen.append(len(inside))
            together.wait()
            inside.pop()
            return password.decode()

    monkeypatch.setattr(passwords, "_hasher", Counted())
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(passwords.hashed, "abcdefgh")) == list("abcdefgh")
    assert set(seen) == {passwords.AT_ONCE}

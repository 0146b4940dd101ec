from worker.store.secret_hash import digest, draw


def test_secrets_are_long_differ_and_are_known_by_their_hash_alone() -> None:
    drawn = [draw("lethe_") for _ in range(20)]
    assert len({secret for secret, _ in drawn}) == 20
    for secret, kept in drawn:
        assert secret.startswith("lethe_") and len(secret) >= len("lethe_") + 43
        assert digest(secret) == kept and len(kept) == 64 and kept not in secret
    assert digest("half of a character \ud800") != digest("")
